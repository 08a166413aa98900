import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from app.runtime import logs
from app.runtime.clock import now_us
from app.runtime.threads import Offload, inline
from app.storage.spool.spool import Spool, SpoolError
from app.storage.tables import GAPS, SUBSCRIPTIONS, Row, Table

NEVER = 1 << 62


class RowBuffer:
    """Rows of one table in the order in which they came, from when they are put until they are stored.

    It holds its capacity, and what each producer came with when it was full. Rows stay while they are being written;
    positions count all rows that ever came, so that what was dropped meanwhile is not dropped twice.
    """

    def __init__(self, capacity_rows: int) -> None:
        self.capacity_rows = capacity_rows
        self._rows: list[Row] = []
        self._start = 0  # position of the first row
        self._arrivals: deque[tuple[int, int]] = deque()  # bounded by the rows: up to where, since when
        self._is_bounded = True
        self._wanted = NEVER  # rows that the taker waits for
        lock = threading.Lock()
        self._filled = threading.Condition(lock)
        self._room = threading.Condition(lock)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def oldest_us(self) -> int | None:
        """Since when the oldest row waits."""
        with self._filled:
            return self._arrivals[0][1] if self._arrivals else None

    def put(self, rows: list[Row], since_us: int | None = None) -> None:
        """Takes the rows at once; then waits while there are more than fit. They may have waited elsewhere before."""
        if not rows:
            return
        with self._filled:
            self._rows += rows
            self._arrive(min(since_us or NEVER, now_us()))
            if len(self._rows) >= self._wanted:
                self._wanted = NEVER
                self._filled.notify()
            while self._is_bounded and len(self._rows) > self.capacity_rows:
                self._room.wait()

    def release(self) -> None:
        """Nobody waits for room any more: those who put rows are about to end, and bring no more than they have."""
        with self._filled:
            self._is_bounded = False
            self._room.notify_all()

    def wait_for_rows(self, rows: int, batch_seconds: float, idle_seconds: float) -> bool:
        """Until there are so many rows, or the oldest has waited for a batch's time. False: none came at all."""
        with self._filled:
            if not self._rows:
                self._wait(1, idle_seconds)
            if not self._rows:
                return False
            if len(self._rows) < rows:
                waited_seconds = (now_us() - self._arrivals[0][1]) / 1_000_000
                # A clock that was set back must not make it longer.
                self._wait(rows, min(batch_seconds, batch_seconds - waited_seconds))
            return True

    def first(self, max_rows: int) -> tuple[list[Row], int]:
        """The oldest rows, which stay, and the position after them."""
        with self._filled:
            rows = self._rows[:max_rows]
            return rows, self._start + len(rows)

    def drop_through(self, position: int) -> int:
        """Forgets the rows before this position, and returns how many were left to forget."""
        with self._filled:
            dropped = max(0, position - self._start)
            del self._rows[:dropped]
            self._start += dropped
            while self._arrivals and self._arrivals[0][0] <= self._start:
                self._arrivals.popleft()
            if len(self._rows) <= self.capacity_rows:
                self._room.notify_all()
            return dropped

    def _arrive(self, since_us: int) -> None:
        """Those that came later and wait for longer stand for those before them: so the first is always the oldest."""
        while self._arrivals and self._arrivals[-1][1] >= since_us:
            self._arrivals.pop()
        self._arrivals.append((self._start + len(self._rows), since_us))

    def _wait(self, rows: int, seconds: float) -> None:
        if seconds > 0:
            self._wanted = rows
            self._filled.wait(seconds)
            self._wanted = NEVER


SLOW_WRITE_SECONDS = 0.5  # of a batch
PATIENCE_SECONDS = 1.0
# A database that takes rows, but fewer than come: it may catch up, but nobody waits for that while there is a disk.
BEHIND_SECONDS = 2.0
# Rows cost a database less in larger batches; those of a database that keeps up are small, and soon there.
LARGER_BATCHES = 4
RECEIVED_AT = "received_at"
# From then on nobody may be told that all is recorded, until the row that says otherwise is durable.
TAKEN_BACK_FROM = {GAPS.name: "started_at", SUBSCRIPTIONS.name: "ended_at"}


class WriteBatch(NamedTuple):
    rows: list[Row]
    end: int | None  # where it ends in the buffer; None: it is on disk


class WriteQueue:
    """Rows of one table that its database has not taken yet, in their order: the oldest on disk, the others in memory.

    One worker takes rows from here to the database. Another moves what waits for too long to the disk, from the oldest
    row on, even those that are just being written: should that fail, or never end, no newer row was there before them.
    """

    def __init__(
        self,
        buffer: RowBuffer,
        spool: Spool,
        offload: Offload = inline,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.table: Table = spool.table
        self.away: str | None = None  # why the database takes nothing
        self.refusal: str | None = None  # why the disk does not take what should go to it
        self._buffer = buffer
        self._spool = spool
        self._offload = offload
        self._clock = clock
        self._lock = threading.Lock()
        self._writing_since: float | None = None
        self._slow_seconds = SLOW_WRITE_SECONDS
        names = self.table.column_names
        since = TAKEN_BACK_FROM.get(self.table.name, RECEIVED_AT)
        self._since = names.index(since) if since in names else None

    def put(self, rows: list[Row]) -> None:
        """Rows of one put come in the order in which they were received; those of the journal in any."""
        self._buffer.put(rows, self._since_us(rows))

    def release(self) -> None:
        """From now on no put waits for room."""
        self._buffer.release()

    @property
    def waiting_rows(self) -> int:
        """Rows that are not durable yet."""
        return len(self._buffer)

    @property
    def waiting_since_us(self) -> int | None:
        """When the oldest of them was received, or put where rows do not say."""
        return self._buffer.oldest_us

    @property
    def spool_bytes(self) -> int:
        return self._spool.size_bytes

    @property
    def damaged_files(self) -> int:
        return self._spool.damaged_files

    def take(self, max_rows: int, batch_seconds: float, idle_seconds: float) -> WriteBatch | None:
        """Return the oldest rows, for being written; of a database that is behind more at once. None: none came."""
        if self._spool.is_empty and not self._buffer.wait_for_rows(max_rows, batch_seconds, idle_seconds):
            return None
        batch_rows, max_rows = max_rows, self._rows_at_once(max_rows)
        with self._lock:
            spooled = [] if self._spool.is_empty else self._offload(self._spool.first, max_rows)
            batch = WriteBatch(spooled, None) if spooled else WriteBatch(*self._buffer.first(max_rows))
        if batch.rows:
            self._slow_seconds = SLOW_WRITE_SECONDS * max(1, len(batch.rows) / batch_rows)
            self._writing_since = self._clock()
        return batch if batch.rows else None

    def written(self, batch: WriteBatch) -> None:
        """The database has these rows."""
        self._writing_since = None
        self.away = None
        if batch.end is not None:
            self._buffer.drop_through(batch.end)
            return
        with self._lock:
            self._offload(self._spool.remove_first)

    def not_written(self, reason: str) -> None:
        self._writing_since = None
        self.away = reason

    def should_spill(self) -> bool:
        oldest_us = self._buffer.oldest_us
        if oldest_us is None:
            return False
        waiting_seconds = (now_us() - oldest_us) / 1_000_000
        capacity = self._buffer.capacity_rows
        is_half_full = len(self._buffer) > capacity // 2
        if self.away or self._is_slow() or not self._spool.is_empty:
            return is_half_full or waiting_seconds > PATIENCE_SECONDS
        # Sockets must not wait. Whoever asks REST may.
        is_nearly_full = self._since is not None and len(self._buffer) > capacity * 4 // 5
        return is_nearly_full or (is_half_full and waiting_seconds > BEHIND_SECONDS)

    def spill(self) -> int:
        """Moves what is in memory to the disk, and returns how many rows."""
        with self._lock:
            rows, end = self._buffer.first(len(self._buffer))
            if not rows:
                return 0
            try:
                self._offload(self._spool.append, rows)
            except SpoolError as error:
                self.refusal = str(error)
                raise
            self.refusal = None
            return self._buffer.drop_through(end)

    def _rows_at_once(self, batch_rows: int) -> int:
        capacity = self._buffer.capacity_rows
        is_behind = not self._spool.is_empty or len(self._buffer) > capacity // 4
        return max(batch_rows, min(LARGER_BATCHES * batch_rows, capacity // 4)) if is_behind else batch_rows

    def _since_us(self, rows: list[Row]) -> int | None:
        since = self._since
        if not rows or since is None:
            return None
        if self.table.name in TAKEN_BACK_FROM:
            return min((row[since] for row in rows if row[since] is not None), default=None)
        first_us: int | None = rows[0][since]
        return first_us

    def _is_slow(self) -> bool:
        since = self._writing_since
        return since is not None and self._clock() - since > self._slow_seconds


log = logs.get(__name__)

LOOK_SECONDS = 0.02


class WriteQueues:
    """The sink of everything that a gatherer records: a backlog for each table."""

    def __init__(self, backlogs: Mapping[str, WriteQueue]) -> None:
        self.backlogs = backlogs

    def put(self, table: Table, rows: list[Row]) -> None:
        """The rows are the sink's at once, and the list too; then waits while too much is not stored yet."""
        self.backlogs[table.name].put(rows)

    def release(self) -> None:
        """When all who put rows are asked to end: nobody waits for room any more, or they never would."""
        for backlog in self.backlogs.values():
            backlog.release()

    def waiting_since_us(self) -> int | None:
        """When the oldest row came that is neither in its database nor on disk."""
        times_us = (backlog.waiting_since_us for backlog in self.backlogs.values())
        return min((time_us for time_us in times_us if time_us is not None), default=None)

    def waiting_rows(self) -> dict[str, int]:
        """Rows that are neither in their database nor on disk, by table."""
        return {name: backlog.waiting_rows for name, backlog in self.backlogs.items() if backlog.waiting_rows}

    def why_not_ready(self) -> str | None:
        """The disk's reason if it refuses rows, else a database's if one is away."""
        backlogs = self.backlogs.values()
        for backlog in backlogs:
            if backlog.refusal:
                return f"Rows of {backlog.table.name} wait in memory: {backlog.refusal}"
        for backlog in backlogs:
            if backlog.away:
                return f"Rows of {backlog.table.name} wait on disk: {backlog.away}"
        return None

    def drain(self, deadline_seconds: float) -> None:
        """Until everything that was put is durable: stored, or on disk where the database does not take it in time."""
        deadline = time.monotonic() + deadline_seconds
        while self.waiting_since_us() is not None and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        for backlog in self.backlogs.values():
            try:
                backlog.spill()
            except SpoolError as error:
                log.warning(
                    "rows wait in memory", table=backlog.table.name, rows=backlog.waiting_rows, reason=str(error)
                )


# Numbers of connections, as they are in every row's lineage: two each for what concerns the whole exchange.
TICKER_CONNECTIONS = (1, 2)
TRADE_CONNECTIONS = (3, 4)
LIFECYCLE_CONNECTIONS = (5, 6)
FIRST_BOOK_CONNECTION = 7


class Sink(Protocol):
    """Takes rows for being stored, in memory or on disk, in the order in which they are given."""

    def put(self, table: Table, rows: list[Row]) -> None:
        """The rows are the sink's at once, and the list too; then waits while too much is not stored yet."""
