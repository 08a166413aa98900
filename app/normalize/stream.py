"""The frames of one connection, in their order, to messages and rows; and the detection of gaps between them.

In: frames with the time of their receipt. Out: messages, rows for the tables, and gaps. Every numbered message counts
in its subscription's sequence; a lost one may concern any market of the subscription, so changes are marked `after_gap`
until their market's next snapshot.
"""

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
    """A loss on one subscription. The lost messages may concern any of its markets."""

    sid: int
    expected: int
    received: int

    @property
    def missing(self) -> int:
        """Return the number of lost messages; negative if the numbers went back."""
        return self.received - self.expected


class FirstNumbers:
    """The first sequence number of a subscription at this exchange: 1 or 2.

    The answer to a command may take the first number without carrying it. So 2 is accepted as the first, until a
    subscription is seen to begin with 1.
    """

    def __init__(self) -> None:
        self.latest = 2

    def learn(self, seq: int) -> None:
        self.latest = min(self.latest, seq)


class SequenceCheck:
    """Check the sequence numbers of each subscription of a connection. Messages of every type count if they carry one.

    With `from_the_first`, a first number that is too high is a gap too: the subscription counts as covered from its
    acknowledgement on. A book counts as covered from its own snapshot on, and what is lost before the first message
    came before all snapshots.
    """

    def __init__(self, first_numbers: FirstNumbers | None = None, *, from_the_first: bool = False) -> None:
        self._expected: dict[int, int] = {}
        self._first_numbers = first_numbers or FirstNumbers()
        self._from_the_first = from_the_first

    def check(self, sid: int, seq: int) -> SequenceGap | None:
        """Return the gap that this number reveals, or None if it is the expected one."""
        expected = self._expected.get(sid)
        self._expected[sid] = seq + 1
        if seq == expected:
            return None
        if expected is None:
            self._first_numbers.learn(seq)
            expected = self._first_numbers.latest
            return SequenceGap(sid, expected, seq) if self._from_the_first and seq > expected else None
        return SequenceGap(sid, expected, seq)

    def resume(self, gap: SequenceGap) -> None:
        """Continue at the number expected before the gap: the message that revealed it was a repetition."""
        self._expected[gap.sid] = gap.expected

    def forget(self, sid: int) -> None:
        self._expected.pop(sid, None)


class GapTracker:
    """The markets of a connection that may lack a change: all of a subscription with a loss, until their snapshots."""

    def __init__(self) -> None:
        self._settled: dict[int, set[str]] = {}

    def begin(self, sid: int) -> None:
        self._settled[sid] = set()

    def snapshot(self, sid: int, ticker: str) -> None:
        if sid in self._settled:
            self._settled[sid].add(ticker)

    def end(self, sid: int) -> None:
        """Forget the subscription's gap: all its markets had their snapshot, or the subscription has ended."""
        self._settled.pop(sid, None)

    def may_lack_change(self, sid: int, ticker: str) -> bool:
        # Checked for every change, and gaps are rare: the empty case is tested first.
        return bool(self._settled) and sid in self._settled and ticker not in self._settled[sid]


TABLES: dict[type, Table] = {
    OrderbookDelta: ORDERBOOK_DELTAS,
    OrderbookSnapshot: ORDERBOOK_SNAPSHOTS,
    Trade: TRADES,
    Ticker: TICKERS,
    **dict.fromkeys(LIFECYCLE_MESSAGES, LIFECYCLE_EVENTS),
}

# A connection of order books carries a share of the markets, one of tickers carries all of them.
DELTA_MARKETS = 4_096
TICKER_MARKETS = 65_536
ANNOUNCEMENTS = 65_536
REPEATED = unknown(b"", "it was read before")  # in place of a frame that repeats an earlier one


class Stream:
    """Read the frames of one connection in their order, from its opening to its end.

    A reopened connection is a new stream, in which every market starts with a snapshot. Announcements are counted
    across all streams of a gatherer, which share `repetitions`.
    """

    def __init__(
        self,
        conn: int,
        *,
        repetitions: Repetitions | None = None,
        first_numbers: FirstNumbers | None = None,
        from_the_first: bool = False,
    ) -> None:
        self.clocks_gone_back: list[str] = []  # markets, as after a maintenance of the exchange; the caller empties it
        self._conn = conn
        self._frame = b""
        self._sequence = SequenceCheck(first_numbers, from_the_first=from_the_first)
        self._gaps = GapTracker()
        # Two subscriptions to one market deliver each event twice, so occurrences are counted per subscription.
        self._changes = defaultdict[int, Occurrences](lambda: Occurrences(DELTA_MARKETS, self.clocks_gone_back.append))
        self._quotes = defaultdict[int, Occurrences](lambda: Occurrences(TICKER_MARKETS))
        # An announcement's only time is when it was sent, so its copies on other sockets have to be known too.
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

    def read(self, frame: bytes, received_us: int) -> tuple[Message, Row | None, SequenceGap | None]:
        """Return the message, its row, and the gap that its sequence number reveals.

        The row is for TABLES[type(message)]; it is None if messages of this type are not recorded. Unknown is for
        quarantine. With a gap there is no row yet: the caller decides what the gap means, by begin_gap() or ignore(),
        and then asks for the row of what it does not ignore.
        """
        message = decode(frame)
        sid, seq = message.sid, message.seq
        if sid is not None and seq is not None:
            gap = self._sequence.check(sid, seq)
            if gap is not None:
                return message, None, gap
        # As in row(), which would be one more call for every message of the exchange.
        self._frame = frame
        try:
            make_row = self._rows.get(type(message))
            return message, None if make_row is None else make_row(message, received_us), None
        except UnfitMessageError as error:
            return unknown(frame, str(error)), None, None

    def row(self, frame: bytes, message: Message, received_us: int) -> tuple[Message, Row | None]:
        """Return the message with its row, or as Unknown if no row can hold it."""
        self._frame = frame
        try:
            make_row = self._rows.get(type(message))
            return message, None if make_row is None else make_row(message, received_us)
        except UnfitMessageError as error:
            return unknown(frame, str(error)), None

    def ignore(self, gap: SequenceGap) -> None:
        """Take back a gap whose message only repeats an earlier one."""
        self._sequence.resume(gap)

    def begin_gap(self, sid: int) -> None:
        """Mark the subscription's changes `after_gap`, each market's until its next snapshot."""
        self._gaps.begin(sid)

    def end_gap(self, sid: int) -> None:
        """Mark no more changes of the subscription: every market of it had its snapshot after the gap."""
        self._gaps.end(sid)

    def forget(self, sid: int) -> None:
        """Forget a subscription that has ended."""
        self._gaps.end(sid)
        self._sequence.forget(sid)
        for counted in (self._changes, self._quotes, self._channels):
            counted.pop(sid, None)

    def _delta(self, message: OrderbookDelta, received_us: int) -> Row:
        after_gap = self._gaps.may_lack_change(message.sid, message.msg.market_ticker)
        return delta_row(message, received_us, self._conn, self._changes[message.sid], after_gap=after_gap)

    def _snapshot(self, message: OrderbookSnapshot, received_us: int) -> Row:
        row = snapshot_row(message, received_us, self._conn)
        if is_empty(row):
            refuse_other_levels(self._frame, "msg")
        self._gaps.snapshot(message.sid, message.msg.market_ticker)
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
        # Concurrent subscriptions to one channel deliver copies, not repetitions, so their lines need different names.
        self._channels[sid] = f"{channel} {sid}" if channel in others else channel
