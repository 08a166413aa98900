from collections import defaultdict
from collections.abc import Callable

from app.kalshi.answers import Subscribed
from app.kalshi.messages import Message, decode, unknown
from app.kalshi.records import LIFECYCLE_MESSAGES, Lifecycle, OrderbookDelta, OrderbookSnapshot, Ticker, Trade
from app.normal.deltas import delta_row
from app.normal.doubt import Doubt
from app.normal.lifecycle import Repetitions, lifecycle_row
from app.normal.occurrences import Occurrences
from app.normal.sequence import FirstNumbers, SequenceCheck, SequenceGap
from app.normal.snapshots import is_empty, refuse_other_levels, snapshot_row
from app.normal.tickers import ticker_row
from app.normal.trades import trade_row
from app.normal.unfit import UnfitMessageError
from app.store.tables import (
    LIFECYCLE_EVENTS,
    ORDERBOOK_DELTAS,
    ORDERBOOK_SNAPSHOTS,
    TICKERS,
    TRADES,
    Row,
    Table,
)

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
        self._doubt = Doubt()
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
