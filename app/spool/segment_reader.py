from pathlib import Path
from typing import NamedTuple

from app import logs
from app.spool.packed_rows import unpack
from app.spool.segment_format import (
    HEAD_BYTES,
    Layout,
    header,
    header_at_start,
    is_record_but_for_its_head,
    is_sound,
    length_of_rows,
    next_record,
    seed,
)
from app.store.tables import Row, Table

log = logs.get(__name__)

LONGEST_HEADER_BYTES = 65_536


class Found(NamedTuple):
    rows: list[Row]
    end: int  # where to read on
    is_after_loss: bool  # rows before these could not be read


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

    def next(self, position: int, end: int) -> Found | None:
        """Return the first sound record from there on, or no rows when what is left was lost. None: nothing is left."""
        self._file.seek(position)
        head = self._file.read(min(HEAD_BYTES, end - position))
        length = length_of_rows(head)
        if length is not None and length <= end - position - HEAD_BYTES:
            packed = self._file.read(length)
            if is_sound(head, packed, self._seed):
                return Found(self._unpacked(packed), position + HEAD_BYTES + length, is_after_loss=False)
        # A file that has not even its header was cut, or never came to be: who reads it cannot tell.
        return None if position >= end > 0 else self._after_damage(position, end)

    def close(self) -> None:
        self._file.close()

    def _after_damage(self, position: int, end: int) -> Found:
        self._file.seek(position)
        rest = self._file.read(end - position)
        own_header = header(self._layout)
        if position == 0 and own_header.startswith(rest):
            log.warning("a file of spooled rows has none", file=str(self._path), bytes=len(rest))
            return Found([], end, is_after_loss=True)
        self.is_damaged = True
        next_start = next_record(rest, 0, self._seed)
        unreadable = rest[:next_start]
        if is_record_but_for_its_head(unreadable, self._seed):
            log.error("the head of spooled rows is damaged, they are not", file=str(self._path), position=position)
            return Found(self._unpacked(unreadable[HEAD_BYTES:]), position + len(unreadable), is_after_loss=False)
        log.error("spooled rows are damaged", file=str(self._path), position=position, bytes=len(unreadable))
        if next_start is None:
            return Found([], end, is_after_loss=True)
        found = self.next(position + next_start, end) or Found([], end, is_after_loss=True)
        is_header = position == 0 and next_start == len(own_header)
        return found._replace(is_after_loss=not is_header)

    def _unpacked(self, packed: bytes) -> list[Row]:
        return unpack(packed, self._layout.columns, self._table)
