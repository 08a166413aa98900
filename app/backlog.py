import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from app.clock import now_us
from app.offload import Offload, inline
from app.row_buffer import RowBuffer
from app.spool.spool import Spool, SpoolError
from app.store.journal_tables import GAPS, SUBSCRIPTIONS
from app.store.tables import Row, Table

SLOW_WRITE_SECONDS = 0.5  # of a batch
PATIENCE_SECONDS = 1.0
# A database that takes rows, but fewer than come: it may catch up, but nobody waits for that while there is a disk.
BEHIND_SECONDS = 2.0
# Rows cost a database less in larger batches; those of a database that keeps up are small, and soon there.
LARGER_BATCHES = 4
RECEIVED_AT = "received_at"
# From then on nobody may be told that all is recorded, until the row that says otherwise is durable.
TAKEN_BACK_FROM = {GAPS.name: "started_at", SUBSCRIPTIONS.name: "ended_at"}


class Batch(NamedTuple):
    rows: list[Row]
    end: int | None  # where it ends in the buffer; None: it is on disk


class Backlog:
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

    def take(self, max_rows: int, batch_seconds: float, idle_seconds: float) -> Batch | None:
        """Return the oldest rows, for being written; of a database that is behind more at once. None: none came."""
        if self._spool.is_empty and not self._buffer.wait_for_rows(max_rows, batch_seconds, idle_seconds):
            return None
        batch_rows, max_rows = max_rows, self._rows_at_once(max_rows)
        with self._lock:
            spooled = [] if self._spool.is_empty else self._offload(self._spool.first, max_rows)
            batch = Batch(spooled, None) if spooled else Batch(*self._buffer.first(max_rows))
        if batch.rows:
            self._slow_seconds = SLOW_WRITE_SECONDS * max(1, len(batch.rows) / batch_rows)
            self._writing_since = self._clock()
        return batch if batch.rows else None

    def written(self, batch: Batch) -> None:
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
