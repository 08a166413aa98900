"""Hold the rows that a gatherer has received until they are stored, in memory and, if the database is slow, on disk.

In: rows from the sockets and from REST, by table. Out: batches for the writer of each table. Memory is bounded by
making producers wait; a spiller moves rows to disk before sockets have to wait for long.
"""

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
    """Rows of one table in order of arrival, from when they are put until they are stored.

    It holds its capacity plus at most one put of each producer that found it full. Rows stay while they are being
    written; positions count all rows that ever arrived, so that rows dropped meanwhile are not dropped twice.
    """

    def __init__(self, capacity_rows: int) -> None:
        self.capacity_rows = capacity_rows
        self._rows: list[Row] = []
        self._start = 0  # position of the first row
        self._arrivals: deque[tuple[int, int]] = deque()  # bounded by the rows: up to where, since when
        self._is_bounded = True
        self._wanted = NEVER  # number of rows that the taker waits for
        lock = threading.Lock()
        self._filled = threading.Condition(lock)
        self._room = threading.Condition(lock)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def oldest_us(self) -> int | None:
        """Return since when the oldest row has been waiting, or None if there is none."""
        with self._filled:
            return self._arrivals[0][1] if self._arrivals else None

    def put(self, rows: list[Row], since_us: int | None = None) -> None:
        """Take over the rows immediately, then wait while more than fit are held.

        `since_us` is the time since when the rows have been waiting elsewhere.
        """
        if not rows:
            return
        with self._filled:
            self._rows += rows
            self._arrive(min(since_us or NEVER, now_us()))
            # Wake the taker only when it has as many rows as it waits for, not for every put.
            if len(self._rows) >= self._wanted:
                self._wanted = NEVER
                self._filled.notify()
            while self._is_bounded and len(self._rows) > self.capacity_rows:
                self._room.wait()

    def release(self) -> None:
        """Stop making producers wait for room: they are about to end and bring no more than they already have."""
        with self._filled:
            self._is_bounded = False
            self._room.notify_all()

    def wait_for_rows(self, rows: int, batch_seconds: float, idle_seconds: float) -> bool:
        """Wait for `rows` rows, or until the oldest has waited for a batch's time. Return False if no rows arrived."""
        with self._filled:
            if not self._rows:
                self._wait(1, idle_seconds)
            if not self._rows:
                return False
            if len(self._rows) < rows:
                waited_seconds = (now_us() - self._arrivals[0][1]) / 1_000_000
                # A clock that was set back must not extend the wait.
                self._wait(rows, min(batch_seconds, batch_seconds - waited_seconds))
            return True

    def first(self, max_rows: int) -> tuple[list[Row], int]:
        """Return the oldest rows, which stay in the buffer, and the position after them."""
        with self._filled:
            rows = self._rows[:max_rows]
            return rows, self._start + len(rows)

    def drop_through(self, position: int) -> int:
        """Drop the rows before this position. Return how many were still there to drop."""
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
        """Record an arrival and drop earlier ones that have waited less, so that the first entry is the oldest."""
        while self._arrivals and self._arrivals[-1][1] >= since_us:
            self._arrivals.pop()
        self._arrivals.append((self._start + len(self._rows), since_us))

    def _wait(self, rows: int, seconds: float) -> None:
        if seconds > 0:
            self._wanted = rows
            self._filled.wait(seconds)
            self._wanted = NEVER


SLOW_WRITE_SECONDS = 0.5  # of a batch
PATIENCE_SECONDS = 1.0  # rows wait this long in memory for a database that is away or slow, then go to disk
# A database may accept rows more slowly than they arrive. It may catch up, but producers do not wait for that while
# there is disk space.
BEHIND_SECONDS = 2.0
# Larger batches cost a database less per row. While it keeps up, batches stay small, so that rows arrive soon.
LARGER_BATCHES = 4
RECEIVED_AT = "received_at"
# From this time on the gatherer must not report everything as recorded, until the row that states otherwise is durable.
TAKEN_BACK_FROM = {GAPS.name: "started_at", SUBSCRIPTIONS.name: "ended_at"}


class WriteBatch(NamedTuple):
    rows: list[Row]
    end: int | None  # where it ends in the buffer; None: it is from disk


class WriteQueue:
    """Rows of one table that its database has not accepted yet, in order: the oldest on disk, the rest in memory.

    One worker takes rows from here to the database. Another moves rows that wait too long to disk, from the oldest on,
    even rows that are just being written: if that write fails or never ends, no newer row was stored before them.
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
        """Put rows in the order in which they were received (rows of the journal: in any order)."""
        self._buffer.put(rows, self._since_us(rows))

    def release(self) -> None:
        """Stop making put() wait for room."""
        self._buffer.release()

    @property
    def waiting_rows(self) -> int:
        """Return the number of rows that are not durable yet."""
        return len(self._buffer)

    @property
    def waiting_since_us(self) -> int | None:
        """Return when the oldest waiting row was received, or was put if rows carry no time; None if none waits."""
        return self._buffer.oldest_us

    @property
    def spool_bytes(self) -> int:
        return self._spool.size_bytes

    @property
    def damaged_files(self) -> int:
        return self._spool.damaged_files

    def take(self, max_rows: int, batch_seconds: float, idle_seconds: float) -> WriteBatch | None:
        """Return the oldest rows for writing, more of them if the database is behind; None if no rows arrived."""
        # Spooled rows are older than the rows in memory, so they are taken first and without waiting.
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
        """Note that the database has the batch, and remove it."""
        self._writing_since = None
        self.away = None
        if batch.end is not None:
            self._buffer.drop_through(batch.end)
            return
        with self._lock:
            self._offload(self._spool.remove_first)

    def not_written(self, reason: str) -> None:
        """Note why the database did not accept the batch; its rows stay."""
        self._writing_since = None
        self.away = reason

    def should_spill(self) -> bool:
        """Return True if the rows in memory should move to disk now."""
        oldest_us = self._buffer.oldest_us
        if oldest_us is None:
            return False
        waiting_seconds = (now_us() - oldest_us) / 1_000_000
        capacity = self._buffer.capacity_rows
        is_half_full = len(self._buffer) > capacity // 2
        if self.away or self._is_slow() or not self._spool.is_empty:
            return is_half_full or waiting_seconds > PATIENCE_SECONDS
        # Sockets must not wait for room; REST polling may.
        is_nearly_full = self._since is not None and len(self._buffer) > capacity * 4 // 5
        return is_nearly_full or (is_half_full and waiting_seconds > BEHIND_SECONDS)

    def spill(self) -> int:
        """Move the rows in memory to disk. Return how many."""
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
            # The writer may have stored some of these rows meanwhile; only the remaining ones count.
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
    """The sink of everything that a gatherer records: one write queue for each table."""

    def __init__(self, by_table: Mapping[str, WriteQueue]) -> None:
        self.by_table = by_table

    def put(self, table: Table, rows: list[Row]) -> None:
        """Take over the rows and their list immediately, then wait while too much is not stored yet."""
        self.by_table[table.name].put(rows)

    def release(self) -> None:
        """Stop making producers wait for room. Called when they are asked to end; otherwise they might never end."""
        for queue in self.by_table.values():
            queue.release()

    def waiting_since_us(self) -> int | None:
        """Return when the oldest row arrived that is neither in its database nor on disk, or None if all are."""
        times_us = (queue.waiting_since_us for queue in self.by_table.values())
        return min((time_us for time_us in times_us if time_us is not None), default=None)

    def waiting_rows(self) -> dict[str, int]:
        """Return the number of rows that are neither in their database nor on disk, by table."""
        return {name: queue.waiting_rows for name, queue in self.by_table.items() if queue.waiting_rows}

    def why_not_ready(self) -> str | None:
        """Return the disk's reason if it refuses rows, otherwise a database's if one is away, otherwise None."""
        by_table = self.by_table.values()
        for queue in by_table:
            if queue.refusal:
                return f"Rows of {queue.table.name} wait in memory: {queue.refusal}"
        for queue in by_table:
            if queue.away:
                return f"Rows of {queue.table.name} wait on disk: {queue.away}"
        return None

    def drain(self, deadline_seconds: float) -> None:
        """Wait until everything that was put is durable. What the database does not accept in time goes to disk."""
        deadline = time.monotonic() + deadline_seconds
        while self.waiting_since_us() is not None and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        for queue in self.by_table.values():
            try:
                queue.spill()
            except SpoolError as error:
                log.warning(
                    "rows not spooled: they stay in memory",
                    table=queue.table.name,
                    rows=queue.waiting_rows,
                    reason=str(error),
                )


class Sink(Protocol):
    """Accepts rows to be stored, in memory or on disk, in the order given."""

    def put(self, table: Table, rows: list[Row]) -> None:
        """Take over the rows and their list immediately, then wait while too much is not stored yet."""
