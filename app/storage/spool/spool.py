"""Keep the rows of one table on disk, in order, until its database accepts them.

In: batches of rows. Out: the same rows, each batch at least once. A process that ends between reading and removing a
batch reads it again.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.errors import OperatorError
from app.runtime import logs
from app.runtime.clock import now_us
from app.runtime.durable_files import make_folder, sync_folder
from app.storage.spool.segments import Layout, SegmentReader, SegmentWriter, pack
from app.storage.tables import Row, Table

log = logs.get(__name__)

SEGMENT_BYTES = 32_000_000
RECORD_ROWS = 5_000
RECEIVED_AT = "received_at"
# Rows are put nearly in the order in which they were received, and happened a moment earlier. A producer that waited
# for room in another table puts its rows a little later.
SLACK_US = 10_000_000

OnLoss = Callable[[int | None, int], None]


class SpoolError(OperatorError):
    """The disk fails to write, read or remove spooled rows."""


@dataclass
class Segment:
    number: int
    path: Path
    size_bytes: int
    until_us: int | None = None  # no row in it was received later; None: rows may still be added


class Spool:
    """Rows of one table on disk, in order, until its database accepts them.

    Appended rows are durable. Rows that were read stay until they are removed, so a process that ends in between reads
    them again. If rows cannot be read, `on_loss` is called with the times since when (None: unknown) and until when
    they were received, before the rows that follow are returned.
    """

    def __init__(
        self,
        folder: Path,
        table: Table,
        check_room: Callable[[int], None],
        segment_bytes: int = SEGMENT_BYTES,
        on_loss: OnLoss = lambda _since_us, _until_us: None,
    ) -> None:
        self.table = table
        self._folder = folder
        self._check_room = check_room
        self._segment_bytes = segment_bytes
        self._on_loss = on_loss
        names = table.column_names
        self._received_at = names.index(RECEIVED_AT) if RECEIVED_AT in names else None
        self._done_us: int | None = None  # when the rows before these positions were received
        self._read_us: int | None = None
        self._writer: SegmentWriter | None = None
        self._reader: SegmentReader | None = None
        self._done = self._read = 0  # positions in the oldest segment
        self._told = (0, 0)  # segment and position of the last loss that was reported
        with disk(folder):
            make_folder(folder)
            # Rows of segments from an earlier run were received before now.
            opened_us = now_us()
            self._segments = deque(  # bounded by the disk that segments may take
                Segment(int(path.stem), path, path.stat().st_size, opened_us)
                for path in sorted(folder.glob("[0-9]*.spool"))
            )
            damaged = list(folder.glob("[0-9]*.damaged"))
            self.damaged_files = len(damaged)
            # Numbers are never reused, since the number is part of the check of every record.
            numbers = [*(segment.number for segment in self._segments), *(int(path.stem) for path in damaged)]
            self._next_number = max(numbers, default=0) + 1

    @property
    def is_empty(self) -> bool:
        return not self._segments

    @property
    def size_bytes(self) -> int:
        return sum(segment.size_bytes for segment in tuple(self._segments))

    def append(self, rows: Sequence[Row]) -> None:
        """Append rows durably. Raise SpoolError if they do not fit the limit or the disk fails."""
        packed = [pack(rows[start : start + RECORD_ROWS]) for start in range(0, len(rows), RECORD_ROWS)]
        self._check_room(sum(map(len, packed)))
        with disk(self._folder):
            writer = self._writer_with_room()
            writer.append(packed)
            self._segments[-1].size_bytes = writer.size_bytes

    def first(self, max_rows: int) -> list[Row]:
        """Return the oldest rows, at least one record's. Return an empty list if none are left."""
        with disk(self._folder):
            while self._segments:
                if rows := self._read_on(self._segments[0], max_rows):
                    return rows
                self._finish_oldest()
        return []

    def remove_first(self) -> None:
        """Remove the rows that first() returned last."""
        self._done, self._done_us = self._read, self._read_us
        if self._done >= self._segments[0].size_bytes:
            with disk(self._folder):
                self._finish_oldest()

    def close(self) -> None:
        self._close_writer()
        self._close_reader()

    def _writer_with_room(self) -> SegmentWriter:
        if self._writer and self._writer.is_intact and self._writer.size_bytes < self._segment_bytes:
            return self._writer
        self._close_writer()
        number = self._next_number
        path = self._folder / f"{number:012}.spool"
        self._writer = SegmentWriter(path, number, Layout(self.table.name, self.table.column_names))
        self._segments.append(Segment(number, path, self._writer.size_bytes))
        self._next_number += 1
        return self._writer

    def _read_on(self, segment: Segment, max_rows: int) -> list[Row]:
        if self._reader is None:
            self._reader = SegmentReader(segment.path, segment.number, self.table)
            self._done = self._reader.start
        self._read, self._read_us = self._done, self._done_us
        rows: list[Row] = []
        while len(rows) < max_rows:
            found = self._reader.next(self._read, segment.size_bytes)
            if found is None:
                break
            if found.is_after_loss:
                self._tell_loss(segment, found.rows)
            if found.rows:
                self._read_us = self._received_us(found.rows[-1]) or self._read_us
            self._read = found.end
            rows += found.rows
            if not found.rows:
                break
        return rows

    def _tell_loss(self, segment: Segment, rows_behind: list[Row]) -> None:
        where = segment.number, self._read + 1
        # Records are read again until they are removed, but a loss is reported once.
        if where <= self._told:
            return
        since_us = None if self._read_us is None else self._read_us - SLACK_US
        rows_behind = rows_behind or self._rows_of_later_segments()
        behind_us = self._received_us(rows_behind[0]) if rows_behind else None
        until_us = segment.until_us or now_us()
        self._on_loss(since_us, until_us if behind_us is None else min(until_us, behind_us + SLACK_US))
        self._told = where

    def _rows_of_later_segments(self) -> list[Row]:
        """Return the first readable rows of the segments after the oldest."""
        for segment in list(self._segments)[1:]:
            reader = SegmentReader(segment.path, segment.number, self.table)
            try:
                found = reader.next(reader.start, segment.size_bytes)
            finally:
                reader.close()
            if found and found.rows:
                return found.rows
        return []

    def _received_us(self, row: Row) -> int | None:
        """Return when the row was received, or None if it lacks the column or is malformed."""
        at = self._received_at
        received_us = row[at] if at is not None and at < len(row) else None
        return received_us if isinstance(received_us, int) else None

    def _finish_oldest(self) -> None:
        """Remove the oldest segment. A damaged file is kept under another name."""
        oldest = self._segments[0]
        # The writer appends to the newest segment, which is also the oldest if there is only one.
        if len(self._segments) == 1:
            self._close_writer()
        if self._reader and self._reader.is_damaged:
            kept = oldest.path.rename(oldest.path.with_suffix(".damaged"))
            self.damaged_files += 1
            log.error("damaged spool file kept: its readable rows are stored", file=str(kept))
        else:
            oldest.path.unlink()
        self._close_reader()
        self._segments.popleft()
        sync_folder(self._folder)

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """Turn OSError into SpoolError."""
    try:
        yield
    except OSError as error:
        raise SpoolError(
            f"The spool folder {folder} cannot be read or written.", str(error), "make room on the disk, or repair it."
        ) from error
