from pathlib import Path

from app import logs
from app.spool.packed_rows import unpack
from app.spool.segment_format import (
    HEAD_BYTES,
    Layout,
    header,
    header_at_start,
    is_sound,
    is_torn,
    length_of_rows,
    next_record,
    seed,
)
from app.store.tables import Row, Table

log = logs.get(__name__)

LONGEST_HEADER_BYTES = 65_536


class SegmentReader:
    """The records of one file in their order, without those that are damaged."""

    def __init__(self, path: Path, number: int, table: Table) -> None:
        self.is_damaged = False
        self._path = path
        self._table = table
        # Unbuffered: what lies beyond the end may be cut off and written anew.
        self._file = path.open("rb", buffering=0)
        found = header_at_start(self._file.read(LONGEST_HEADER_BYTES))
        # Without a header the rows' layout is taken for today's; a record of any other fails its check.
        self._layout, self.start = found or (Layout(table.name, table.column_names), 0)
        self._seed = seed(number, self._layout)

    def rows_at(self, position: int, end: int) -> tuple[list[Row], int] | None:
        """The rows of the first sound record from there on, and where it ends. None: none is left before the end."""
        self._file.seek(position)
        head = self._file.read(min(HEAD_BYTES, end - position))
        length = length_of_rows(head)
        if length is not None and length <= end - position - HEAD_BYTES:
            packed = self._file.read(length)
            if is_sound(head, packed, self._seed):
                return unpack(packed, self._layout.columns, self._table), position + HEAD_BYTES + length
        return None if position >= end else self._after_damage(position, end)

    def close(self) -> None:
        self._file.close()

    def _after_damage(self, position: int, end: int) -> tuple[list[Row], int] | None:
        self._file.seek(position)
        rest = self._file.read(end - position)
        found = next_record(rest, 0, self._seed)
        is_unfinished_header = position == 0 and header(self._layout).startswith(rest)
        if found is None and (is_unfinished_header or is_torn(rest)):
            log.warning("an unfinished record was cut off", file=str(self._path), bytes=len(rest))
            return None
        self.is_damaged = True
        lost_bytes = len(rest) if found is None else found
        log.error("spooled rows are damaged", file=str(self._path), position=position, bytes=lost_bytes)
        return None if found is None else self.rows_at(position + found, end)
