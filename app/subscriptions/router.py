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

# How this host's clock stands to the exchange's, by what messages say: what is claimed to be heard is in its time.

UNKNOWN_US = 1 << 62


def happened_us(message: OrderbookDelta | Trade | Ticker) -> tuple[int, int] | None:
    """Return the earliest time that it may have happened, and how much later it may have been; None: it tells none."""
    if message.msg.ts_ms is not None:
        return message.msg.ts_ms * MILLISECOND_US, 0
    earliest_us = exchange_us(None, message.msg.ts)
    if earliest_us is None:
        return None
    # The older wire cuts the fraction of a second off.
    return earliest_us, 0 if earliest_us % SECOND_US else SECOND_US


def said_us(message: Message) -> int | None:
    """Return when it was sent, or when it happened at the latest; None if the message does not tell."""
    sending_ts_ms: int | None = getattr(message, "sending_ts_ms", None)
    if sending_ts_ms is not None:
        return sending_ts_ms * MILLISECOND_US
    happened = happened_us(message) if isinstance(message, OrderbookDelta | Trade | Ticker) else None
    return None if happened is None else sum(happened)


class ExchangeClock:
    """One for all connections: a socket that has just been opened knows nothing by itself.

    Our clock less a message's time is how long it took to come, plus what our clock is ahead, less what it is behind.
    So the least of the last minute or two tells nearly what the clocks differ by.
    """

    def __init__(self) -> None:
        self.least_us = self._least_before_us = UNKNOWN_US  # what was heard since the last turn, and before it
        self._doubt_us = self._doubt_before_us = 0

    def hear(self, age_us: int, doubt_us: int = 0) -> None:
        """Our clock less the exchange's, and how much less that may be."""
        if age_us - doubt_us < self.least_us:
            self.least_us, self._doubt_us = age_us - doubt_us, doubt_us

    def turn(self) -> None:
        """Forget what is older than the turn before, so that a clock that was set is known anew. If nothing came since,
        what is known stays."""
        if self.least_us != UNKNOWN_US:
            self._least_before_us, self._doubt_before_us = self.least_us, self._doubt_us
            self.least_us = UNKNOWN_US

    @property
    def behind_us(self) -> int:
        """What our clock is behind, at most by what a message takes: whatever begins now begins so much later there."""
        least_us, _ = self._known()
        return max(-least_us, 0)

    @property
    def ahead_us(self) -> int:
        """What our clock is ahead, and what a message takes at least: whatever we know by now ended so much earlier."""
        least_us, doubt_us = self._known()
        return max(least_us + doubt_us, 0)

    def _known(self) -> tuple[int, int]:
        known = min((self.least_us, self._doubt_us), (self._least_before_us, self._doubt_before_us))
        return (0, 0) if known[0] == UNKNOWN_US else known


# A frame is looked for among these when its number comes again. Larger ones are not kept: books, which are no events.
REMEMBERED_FRAMES = 256
LARGE_BYTES = 4_096


class Routed(NamedTuple):
    rows: list[tuple[Table, list[Row]]]
    lifecycle: list[bytes]  # frames that tell of the life of markets and events
    has_news: bool  # for the journal, or of commands that can be sent now


class RouterContext:
    """What the connections of a gatherer know together."""

    def __init__(self) -> None:
        self.clock = ExchangeClock()
        self.first_numbers = FirstNumbers()
        self.repetitions = Repetitions(ANNOUNCEMENTS)


class MessageRouter:
    """What the batches of one socket become: rows, and news for the subscriber.

    This runs for every message of the exchange: one look tells what nearly all of them are from the rest.
    """

    def __init__(
        self, conn: int, role: SocketRole, subscriber: Subscriber, common: RouterContext | None = None
    ) -> None:
        common = common or RouterContext()
        self.stream = Stream(
            conn,
            self._on_gap,
            self._was_read,
            repetitions=common.repetitions,
            first_numbers=common.first_numbers,
            from_the_first=not role.is_of_books,
        )
        self.age_us: int | None = None  # our clock less the exchange's, in the latest message that tells it
        self._gone_back = self.stream.gone_back
        self._clock = common.clock
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

    def take(self, batch: FrameBatch) -> Routed:
        frames, received_us = batch
        self._received_us, self._has_news = received_us, False
        read, record = self.stream.read, self._record
        rows: list[Row | None] = []
        rest = _Rest()
        message: Message | None = None
        latest_frame = self._latest_frame
        self._remembered.extend(frames)
        for frame in frames:
            # The same bytes, number and all, are no second event.
            if frame == latest_frame:
                self._repeated.inc()
                continue
            latest_frame = frame
            message, row = read(frame, received_us)
            if type(message) is record:
                rows.append(row)
            else:
                self._take_other(frame, message, row, rest)
        self._latest_frame = latest_frame
        if self._has_large:
            self._forget_large()
        self._messages.inc(len(frames))
        if self._gone_back:
            self._ask_anew()
        if isinstance(message, OrderbookDelta | Trade | Ticker):
            self._look_at(message)
        by_table = list(rest.rows.values())
        if rows and record is not None:
            by_table.append((TABLES[record], rows))  # type: ignore[arg-type]  # a record has a row
        return Routed(by_table, rest.lifecycle, self._has_news)

    @property
    def lag_us(self) -> int:
        """What we were sent by a moment is what happened until so long before: the rest was still under way."""
        return self._clock.ahead_us if self.age_us is None else max(self.age_us, 0)

    def _take_other(self, frame: bytes, message: Message, row: Row | None, rest: "_Rest") -> None:
        if message is REPEATED:
            self._repeated.inc()
            return
        self._has_large |= len(frame) > LARGE_BYTES
        if row is not None:
            rest.add(TABLES[type(message)], row)
        if isinstance(message, LIFECYCLE_MESSAGES):
            rest.lifecycle.append(frame)
        elif isinstance(message, Unknown):
            self._unreadable.inc()
            rest.add(QUARANTINE, (self._received_us, None, message.reason, frame))
        if not isinstance(message, Unknown) and message.sending_ts_ms is not None:
            self._learn_age(message.sending_ts_ms * MILLISECOND_US)
        # Before anything behind it is read: that may be a change of the book that begins here.
        self._has_news |= self._subscriber.take(message, self._begins_us(message))
        # Whatever carries a subscription's number comes in its order, and proves what was sent before; a ping does not.
        sid = message.msg.sid if isinstance(message, Subscribed) else message.sid
        if sid is not None:
            self._subscriber.heard_of(sid, self._received_us - self.lag_us)

    def _look_at(self, message: OrderbookDelta | Trade | Ticker) -> None:
        """One message of a batch stands for all of it."""
        received_us, ts_ms = self._received_us, message.msg.ts_ms
        if ts_ms is None:
            happened = happened_us(message)
            if happened is not None:
                self._age.observe(self._learn_age(*happened) / SECOND_US)
            self._subscriber.heard_of(message.sid, received_us - self.lag_us)
            return
        # In place, since where messages come one by one this runs for each.
        happened_at_us = ts_ms * MILLISECOND_US
        age_us = self.age_us = received_us - happened_at_us
        if age_us < self._clock.least_us:
            self._clock.hear(age_us)
        self._age.observe(age_us / SECOND_US)
        self._subscriber.heard_of(message.sid, happened_at_us if age_us > 0 else received_us)

    def _learn_age(self, happened_us: int, doubt_us: int = 0) -> int:
        age_us = self.age_us = self._received_us - happened_us
        self._clock.hear(age_us, doubt_us)
        return age_us

    def _begins_us(self, message: Message) -> int:
        """From when on, by the exchange's clock, all is heard that comes behind this message."""
        now_us = self._received_us + self._clock.behind_us
        return max(now_us, said_us(message) or now_us)

    def _ask_anew(self) -> None:
        """A change of a clock that began anew comes after any book of the old clock, and cannot be counted to it."""
        self._subscriber.ask_anew(self._gone_back)
        self._gone_back.clear()
        self._has_news = True

    def _was_read(self, frame: bytes) -> bool:
        """Whether the same bytes came before this very frame."""
        for each in self._remembered:
            if each is frame:
                return False
            if each == frame:
                return True
        return False

    def _forget_large(self) -> None:
        small = [frame for frame in self._remembered if len(frame) <= LARGE_BYTES]
        self._remembered.clear()
        self._remembered.extend(small)
        self._has_large = False

    def _on_gap(self, gap: SequenceGap) -> None:
        self._has_news = True
        revealing = self.stream.revealing
        begins_us = self._received_us + self._clock.behind_us if revealing is None else self._begins_us(revealing)
        self._subscriber.lost_some(gap, begins_us)


class _Rest:
    def __init__(self) -> None:
        self.rows: dict[str, tuple[Table, list[Row]]] = {}
        self.lifecycle: list[bytes] = []

    def add(self, table: Table, row: Row) -> None:
        self.rows.setdefault(table.name, (table, []))[1].append(row)
