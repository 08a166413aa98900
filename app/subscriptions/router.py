"""Route the messages of one socket: parse them, turn records into rows, and inform the subscriptions of the rest.

In: batches of frames. Out: rows by table, lifecycle frames for the registry, and news for the journal. Repeated frames
are dropped here, and the offset between this host's clock and the exchange's is estimated from message times.
"""

from collections import deque
from typing import NamedTuple

from app.kalshi.messages import LIFECYCLE_MESSAGES, Message, OrderbookDelta, Subscribed, Ticker, Trade, Unknown
from app.kalshi.websocket import FrameBatch
from app.metrics import gatherer as metrics
from app.normalize.events import Repetitions
from app.normalize.stream import ANNOUNCEMENTS, REPEATED, TABLES, FirstNumbers, SequenceGap, Stream
from app.normalize.values import MILLISECOND_US, SECOND_US, exchange_us
from app.storage.tables import QUARANTINE, Row, Table
from app.subscriptions.interface import Subscriber
from app.subscriptions.roles import SocketRole

# The offset between this host's clock and the exchange's. Claims about what was received are in the exchange's time.

UNKNOWN_US = 1 << 62


def happened_us(message: OrderbookDelta | Trade | Ticker) -> tuple[int, int] | None:
    """Return the earliest time it may have happened and by how much it may be later; None if it carries no time."""
    if message.msg.ts_ms is not None:
        return message.msg.ts_ms * MILLISECOND_US, 0
    earliest_us = exchange_us(None, message.msg.ts)
    if earliest_us is None:
        return None
    # The older wire truncates to whole seconds.
    return earliest_us, 0 if earliest_us % SECOND_US else SECOND_US


def sent_or_latest_us(message: Message) -> int | None:
    """Return when it was sent, or the latest time it may have happened; None if the message carries no time."""
    sending_ts_ms: int | None = getattr(message, "sending_ts_ms", None)
    if sending_ts_ms is not None:
        return sending_ts_ms * MILLISECOND_US
    happened = happened_us(message) if isinstance(message, OrderbookDelta | Trade | Ticker) else None
    return None if happened is None else sum(happened)


class ExchangeClock:
    """The clock offset, shared by all connections: a socket that was just opened has no measurement of its own.

    Our clock minus a message's time is its transit time plus our clock's lead (or minus its lag). So the minimum over
    the last minute or two is close to the offset of the clocks.
    """

    def __init__(self) -> None:
        self.least_us = self._least_before_us = UNKNOWN_US  # since the period began, and in the period before
        self._doubt_us = self._doubt_before_us = 0

    def measure(self, age_us: int, doubt_us: int = 0) -> None:
        """Note one measurement: our clock minus the exchange's, and by how much less it may be."""
        if age_us - doubt_us < self.least_us:
            self.least_us, self._doubt_us = age_us - doubt_us, doubt_us

    def start_period(self) -> None:
        """Forget what is older than the previous period, so that a clock that was set is measured again.

        If nothing was received since, keep what is known.
        """
        if self.least_us != UNKNOWN_US:
            self._least_before_us, self._doubt_before_us = self.least_us, self._doubt_us
            self.least_us = UNKNOWN_US

    @property
    def behind_us(self) -> int:
        """Return our clock's lag, too small by a transit time at most. By exchange time, events begin later by this."""
        least_us, _ = self._known()
        return max(-least_us, 0)

    @property
    def ahead_us(self) -> int:
        """Return our clock's lead plus the least transit time. By exchange time, what is known ends earlier by this."""
        least_us, doubt_us = self._known()
        return max(least_us + doubt_us, 0)

    def _known(self) -> tuple[int, int]:
        known = min((self.least_us, self._doubt_us), (self._least_before_us, self._doubt_before_us))
        return (0, 0) if known[0] == UNKNOWN_US else known


# Recent frames, to recognize a repeated one when its number recurs. Larger frames are books, not events: not kept.
REMEMBERED_FRAMES = 256
LARGE_BYTES = 4_096


class Routed(NamedTuple):
    rows: list[tuple[Table, list[Row]]]
    lifecycle: list[bytes]  # frames about markets and events, for the registry
    has_news: bool  # for the journal, or commands that can be sent now


class RouterContext:
    """The state that the connections of a gatherer share."""

    def __init__(self) -> None:
        self.clock = ExchangeClock()
        self.first_numbers = FirstNumbers()
        self.repetitions = Repetitions(ANNOUNCEMENTS)


class MessageRouter:
    """Turns the batches of one socket into rows, and into news for the subscriber.

    This runs for every message of the exchange: one type comparison separates nearly all of them from the rest.
    """

    def __init__(
        self, conn: int, role: SocketRole, subscriber: Subscriber, context: RouterContext | None = None
    ) -> None:
        context = context or RouterContext()
        self.stream = Stream(
            conn,
            repetitions=context.repetitions,
            first_numbers=context.first_numbers,
            from_the_first=not role.is_of_books,
        )
        self.age_us: int | None = None  # our clock minus the exchange's, in the latest message that carries a time
        self._clocks_gone_back = self.stream.clocks_gone_back
        self._clock = context.clock
        self._record = role.record
        self._subscriber = subscriber
        self._received_us = 0
        self._has_news = False
        self._latest_frame = b""
        self._remembered: deque[bytes] = deque(maxlen=REMEMBERED_FRAMES)
        self._has_large = False
        self._repeated = metrics.REPEATED.labels(role.name)
        self._messages = metrics.MESSAGES.labels(role.name)
        self._age = metrics.MESSAGE_AGE.labels(role.name)
        self._unreadable = metrics.UNREADABLE.labels(role.name)

    def route(self, batch: FrameBatch) -> Routed:
        frames, received_us = batch
        self._received_us, self._has_news = received_us, False
        read, record = self.stream.read, self._record
        rows: list[Row | None] = []
        rare = _RareMessages()
        message: Message | None = None
        latest_frame = self._latest_frame
        self._remembered.extend(frames)
        for frame in frames:
            # The same bytes, including the sequence number, are not a second event.
            if frame == latest_frame:
                self._repeated.inc()
                continue
            latest_frame = frame
            message, row, gap = read(frame, received_us)
            if gap is not None:
                message, row = self._handle_gap(gap, frame, message)
            if type(message) is record:
                rows.append(row)
            else:
                self._handle_other(frame, message, row, rare)
        self._latest_frame = latest_frame
        self._messages.inc(len(frames))
        self._end_batch(message)
        by_table = list(rare.rows.values())
        if rows and record is not None:
            by_table.append((TABLES[record], rows))  # type: ignore[arg-type]  # a record has a row
        return Routed(by_table, rare.lifecycle, self._has_news)

    def _handle_gap(self, gap: SequenceGap, frame: bytes, message: Message) -> tuple[Message, Row | None]:
        """Report the loss, unless the frame only repeats an earlier one. Return its message and row."""
        # The numbers went back, and this very frame was read before: it is a repetition, not a new numbering.
        if gap.missing < 0 and self._was_read(frame):
            self.stream.ignore(gap)
            return REPEATED, None
        self._has_news = True
        # Before the row is made: it depends on what the subscriber makes of the gap.
        self._subscriber.note_gap(gap, self._begins_us(message))
        return self.stream.row(frame, message, self._received_us)

    def _end_batch(self, latest: Message | None) -> None:
        if self._has_large:
            self._forget_large()
        if self._clocks_gone_back:
            self._request_books()
        if isinstance(latest, OrderbookDelta | Trade | Ticker):
            self._measure_age(latest)

    @property
    def lag_us(self) -> int:
        """Return how long before now the latest received events happened: later ones are still under way."""
        return self._clock.ahead_us if self.age_us is None else max(self.age_us, 0)

    def _handle_other(self, frame: bytes, message: Message, row: Row | None, rare: "_RareMessages") -> None:
        if message is REPEATED:
            self._repeated.inc()
            return
        self._has_large |= len(frame) > LARGE_BYTES
        if row is not None:
            rare.add(TABLES[type(message)], row)
        if isinstance(message, LIFECYCLE_MESSAGES):
            rare.lifecycle.append(frame)
        elif isinstance(message, Unknown):
            self._unreadable.inc()
            rare.add(QUARANTINE, (self._received_us, None, message.reason, frame))
        if not isinstance(message, Unknown) and message.sending_ts_ms is not None:
            self._note_age(message.sending_ts_ms * MILLISECOND_US)
        # Called before the next frame is read, which may be a change of the book that begins here.
        self._has_news |= self._subscriber.handle(message, self._begins_us(message))
        # A message with a subscription's number arrives in order and proves what was sent before it; a ping does not.
        sid = message.msg.sid if isinstance(message, Subscribed) else message.sid
        if sid is not None:
            self._subscriber.note_received(sid, self._received_us - self.lag_us)

    def _measure_age(self, message: OrderbookDelta | Trade | Ticker) -> None:
        """Measure the age of one message, which represents its whole batch."""
        received_us, ts_ms = self._received_us, message.msg.ts_ms
        if ts_ms is None:
            happened = happened_us(message)
            if happened is not None:
                self._age.observe(self._note_age(*happened) / SECOND_US)
            self._subscriber.note_received(message.sid, received_us - self.lag_us)
            return
        # Inlined for speed: if messages arrive one by one, this runs for each.
        happened_at_us = ts_ms * MILLISECOND_US
        age_us = self.age_us = received_us - happened_at_us
        if age_us < self._clock.least_us:
            self._clock.measure(age_us)
        self._age.observe(age_us / SECOND_US)
        self._subscriber.note_received(message.sid, happened_at_us if age_us > 0 else received_us)

    def _note_age(self, happened_us: int, doubt_us: int = 0) -> int:
        age_us = self.age_us = self._received_us - happened_us
        self._clock.measure(age_us, doubt_us)
        return age_us

    def _begins_us(self, message: Message) -> int:
        """Return the time, by the exchange's clock, from which everything after this message is received."""
        now_us = self._received_us + self._clock.behind_us
        return max(now_us, sent_or_latest_us(message) or now_us)

    def _request_books(self) -> None:
        """Request books whose clock restarted.

        A change of the new clock is later than any book of the old clock, but cannot be ordered against it.
        """
        self._subscriber.request_books(self._clocks_gone_back)
        self._clocks_gone_back.clear()
        self._has_news = True

    def _was_read(self, frame: bytes) -> bool:
        """Return True if the same bytes were received before this very frame."""
        for each in self._remembered:
            if each is frame:
                return False
            if each == frame:
                return True
        return False

    def _forget_large(self) -> None:
        """Drop large frames from memory after each batch; only small ones are kept for recognition."""
        small = [frame for frame in self._remembered if len(frame) <= LARGE_BYTES]
        self._remembered.clear()
        self._remembered.extend(small)
        self._has_large = False


class _RareMessages:
    """Rows and lifecycle frames of a batch's rare messages."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[Table, list[Row]]] = {}
        self.lifecycle: list[bytes] = []

    def add(self, table: Table, row: Row) -> None:
        self.rows.setdefault(table.name, (table, []))[1].append(row)
