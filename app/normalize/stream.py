from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from app.kalshi.messages import (
    LIFECYCLE_MESSAGES,
    Lifecycle,
    Message,
    OrderbookDelta,
    OrderbookSnapshot,
    Subscribed,
    Ticker,
    Trade,
    decode,
    unknown,
)
from app.normalize.events import Repetitions, delta_row, lifecycle_row, ticker_row, trade_row
from app.normalize.occurrences import Occurrences
from app.normalize.snapshots import is_empty, refuse_other_levels, snapshot_row
from app.normalize.values import UnfitMessageError
from app.storage.tables import LIFECYCLE_EVENTS, ORDERBOOK_DELTAS, ORDERBOOK_SNAPSHOTS, TICKERS, TRADES, Row, Table


class SequenceGap(NamedTuple):
    """Something of this subscription was lost; nothing says of which market."""

    sid: int
    expected: int
    received: int

    @property
    def missing(self) -> int:
        """How many messages; negative when the numbers went back."""
        return self.received - self.expected


class FirstNumbers:
    """What subscriptions of this exchange begin with. The answer to a command may take the first number without showing
    it: as long as none was seen to begin with 1, it may be 2."""

    def __init__(self) -> None:
        self.latest = 2

    def see(self, seq: int) -> None:
        self.latest = min(self.latest, seq)


class SequenceCheck:
    """Follows the numbers of each subscription of a connection. Everything that carries one counts, of every type.

    From the first on, where a subscription is heard from its acknowledgement on. A book is heard from its own snapshot
    on, and what is lost before the first message came before any of them.
    """

    def __init__(self, first_numbers: FirstNumbers | None = None, *, from_the_first: bool = False) -> None:
        self._expected: dict[int, int] = {}
        self._first_numbers = first_numbers or FirstNumbers()
        self._from_the_first = from_the_first

    def see(self, sid: int, seq: int) -> SequenceGap | None:
        expected = self._expected.get(sid)
        self._expected[sid] = seq + 1
        if seq == expected:
            return None
        if expected is None:
            self._first_numbers.see(seq)
            expected = self._first_numbers.latest
            return SequenceGap(sid, expected, seq) if self._from_the_first and seq > expected else None
        return SequenceGap(sid, expected, seq)

    def resume(self, gap: SequenceGap) -> None:
        """The message that showed the gap was one that had been seen before."""
        self._expected[gap.sid] = gap.expected

    def forget(self, sid: int) -> None:
        self._expected.pop(sid, None)


class GapTracker:
    """Which markets of a connection may lack a change: those of a subscription that lost something, each until its next
    snapshot."""

    def __init__(self) -> None:
        self._settled: dict[int, set[str]] = {}

    def begin(self, sid: int) -> None:
        self._settled[sid] = set()

    def snapshot(self, sid: int, ticker: str) -> None:
        if sid in self._settled:
            self._settled[sid].add(ticker)

    def end(self, sid: int) -> None:
        """All its markets had their snapshot, or it is no more."""
        self._settled.pop(sid, None)

    def holds(self, sid: int, ticker: str) -> bool:
        # Hardly ever is anything in doubt, and this is asked for every change.
        return bool(self._settled) and sid in self._settled and ticker not in self._settled[sid]


TABLES: dict[type, Table] = {
    OrderbookDelta: ORDERBOOK_DELTAS,
    OrderbookSnapshot: ORDERBOOK_SNAPSHOTS,
    Trade: TRADES,
    Ticker: TICKERS,
    **dict.fromkeys(LIFECYCLE_MESSAGES, LIFECYCLE_EVENTS),
}

# A connection of order books holds a share of the markets; one of tickers hears all of them.
DELTA_MARKETS = 4_096
TICKER_MARKETS = 65_536
ANNOUNCEMENTS = 65_536
REPEATED = unknown(b"", "it was read before")


class Stream:
    """The frames of one connection in their order, from its opening to its end: what each says and the row it becomes.

    A reopened connection is a new stream, whose every market starts with a snapshot. Of announcements, what all streams
    of a gatherer brought is known to all.
    """

    def __init__(
        self,
        conn: int,
        on_gap: Callable[[SequenceGap], None],
        was_read: Callable[[bytes], bool] = lambda _: False,
        *,
        repetitions: Repetitions | None = None,
        first_numbers: FirstNumbers | None = None,
        from_the_first: bool = False,
    ) -> None:
        self.gone_back: list[str] = []  # markets whose clocks did, as after a maintenance; for who takes them out
        self.revealing: Message | None = None  # what shows the gap that is just told
        self._conn = conn
        self._frame = b""
        self._on_gap = on_gap
        self._was_read = was_read
        self._sequence = SequenceCheck(first_numbers, from_the_first=from_the_first)
        self._doubt = GapTracker()
        # What two subscriptions say alike is one event said twice: each counts for itself.
        self._changes = defaultdict[int, Occurrences](lambda: Occurrences(DELTA_MARKETS, self.gone_back.append))
        self._quotes = defaultdict[int, Occurrences](lambda: Occurrences(TICKER_MARKETS))
        # An announcement says no more of when it was than that: what was heard on other sockets counts.
        self._announcements = repetitions or Repetitions(ANNOUNCEMENTS)
        self._channels: dict[int, str] = {}
        self._rows: dict[type, Callable[..., Row | None]] = {
            Subscribed: self._subscribed,
            OrderbookDelta: self._delta,
            OrderbookSnapshot: self._snapshot,
            Trade: self._trade,
            Ticker: self._ticker,
            **dict.fromkeys(LIFECYCLE_MESSAGES, self._lifecycle),
        }

    def read(self, frame: bytes, received_us: int) -> tuple[Message, Row | None]:
        """The message, and its row in TABLES[type(message)] if it is a record. Unknown is for quarantine.

        A gap is told before the message that shows it is given out. A frame that was read before, with its number and
        all, is no second event: REPEATED.
        """
        self._frame = frame
        message = decode(frame)
        sid, seq = message.sid, message.seq
        if sid is not None and seq is not None:
            gap = self._sequence.see(sid, seq)
            if gap is not None:
                if gap.missing < 0 and self._was_read(frame):
                    self._sequence.resume(gap)
                    return REPEATED, None
                self._doubt.begin(sid)
                self.revealing = message
                self._on_gap(gap)
        try:
            make_row = self._rows.get(type(message))
            return message, None if make_row is None else make_row(message, received_us)
        except UnfitMessageError as error:
            return unknown(frame, str(error)), None

    def distrust(self, sid: int) -> None:
        """Its markets may lack a change for another reason than a gap, such as one that went to quarantine."""
        self._doubt.begin(sid)

    def trust(self, sid: int) -> None:
        """Every market of the subscription had its snapshot after the gap."""
        self._doubt.end(sid)

    def forget(self, sid: int) -> None:
        """The subscription is no more."""
        self._doubt.end(sid)
        self._sequence.forget(sid)
        for counted in (self._changes, self._quotes, self._channels):
            counted.pop(sid, None)

    def _delta(self, message: OrderbookDelta, received_us: int) -> Row:
        after_gap = self._doubt.holds(message.sid, message.msg.market_ticker)
        return delta_row(message, received_us, self._conn, self._changes[message.sid], after_gap=after_gap)

    def _snapshot(self, message: OrderbookSnapshot, received_us: int) -> Row:
        row = snapshot_row(message, received_us, self._conn)
        if is_empty(row):
            refuse_other_levels(self._frame, "msg")
        self._doubt.snapshot(message.sid, message.msg.market_ticker)
        return row

    def _trade(self, message: Trade, received_us: int) -> Row:
        return trade_row(message, received_us, self._conn)

    def _ticker(self, message: Ticker, received_us: int) -> Row:
        return ticker_row(message, received_us, self._conn, self._quotes[message.sid])

    def _lifecycle(self, message: Lifecycle, received_us: int) -> Row:
        line = (self._conn, self._channels.get(message.sid, str(message.sid)))
        return lifecycle_row(message, received_us, line, self._announcements)

    def _subscribed(self, message: Subscribed, _received_us: int) -> None:
        sid, channel = message.msg.sid, message.msg.channel
        others = {name for other, name in self._channels.items() if other != sid}
        # What two subscriptions to one channel tell at once is no repetition.
        self._channels[sid] = f"{channel} {sid}" if channel in others else channel
