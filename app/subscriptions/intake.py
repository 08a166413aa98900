from typing import NamedTuple

from app.kalshi.messages import Message, Unknown
from app.kalshi.records import LIFECYCLE_MESSAGES, OrderbookDelta, Ticker, Trade
from app.kalshi.socket import Batch
from app.metrics import connections as metrics
from app.normal.sequence import SequenceGap
from app.normal.stream import TABLES, Stream
from app.store.journal_tables import QUARANTINE
from app.store.tables import Row, Table
from app.subscriptions.roles import Role
from app.subscriptions.subscriber import Subscriber

MILLISECOND_US = 1_000
SECOND_US = 1_000_000


class Taken(NamedTuple):
    rows: list[tuple[Table, list[Row]]]
    lifecycle: list[bytes]  # frames that tell of the life of markets and events
    has_news: bool  # for the journal, or of commands that can be sent now


class Intake:
    """What the batches of one socket become: rows, and news for the subscriber.

    This runs for every message of the exchange: one look tells what nearly all of them are from the rest.
    """

    def __init__(self, conn: int, role: Role, subscriber: Subscriber) -> None:
        self.stream = Stream(conn, self._on_gap)
        self.age_us: int | None = None  # our clock less the exchange's, in the latest message that tells it
        self._record = role.record
        self._subscriber = subscriber
        self._received_us = 0
        self._has_news = False
        self._latest_frame = b""
        self._repeated = metrics.REPEATED.labels(role.name)
        self._messages = metrics.MESSAGES.labels(role.name)
        self._age = metrics.MESSAGE_AGE.labels(role.name)
        self._unreadable = metrics.UNREADABLE.labels(role.name)

    def take(self, batch: Batch) -> Taken:
        frames, received_us = batch
        self._received_us, self._has_news = received_us, False
        read, record = self.stream.read, self._record
        rows: list[Row | None] = []
        rest = _Rest()
        message: Message | None = None
        latest_frame = self._latest_frame
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
        self._messages.inc(len(frames))
        if isinstance(message, OrderbookDelta | Trade | Ticker):
            self._look_at(message)
        by_table = list(rest.rows.values())
        if rows and record is not None:
            by_table.append((TABLES[record], rows))  # type: ignore[arg-type]  # a record has a row
        return Taken(by_table, rest.lifecycle, self._has_news)

    def _take_other(self, frame: bytes, message: Message, row: Row | None, rest: "_Rest") -> None:
        if row is not None:
            rest.add(TABLES[type(message)], row)
            if message.sid is not None:
                self._subscriber.heard_of(message.sid, self._received_us)
        if isinstance(message, LIFECYCLE_MESSAGES):
            rest.lifecycle.append(frame)
        elif isinstance(message, Unknown):
            self._unreadable.inc()
            rest.add(QUARANTINE, (self._received_us, None, message.reason, frame))
        # Before anything behind it is read: that may be a change of the book that begins here.
        self._has_news |= self._subscriber.take(message, self._received_us)

    def _look_at(self, message: OrderbookDelta | Trade | Ticker) -> None:
        """One message of a batch stands for all of it."""
        self._subscriber.heard_of(message.sid, self._received_us)
        if message.msg.ts_ms is not None:
            self.age_us = self._received_us - message.msg.ts_ms * MILLISECOND_US
            self._age.observe(self.age_us / SECOND_US)

    def _on_gap(self, gap: SequenceGap) -> None:
        self._has_news = True
        self._subscriber.lost_some(gap, self._received_us)


class _Rest:
    def __init__(self) -> None:
        self.rows: dict[str, tuple[Table, list[Row]]] = {}
        self.lifecycle: list[bytes] = []

    def add(self, table: Table, row: Row) -> None:
        self.rows.setdefault(table.name, (table, []))[1].append(row)
