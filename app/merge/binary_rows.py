"""Rows in COPY's binary form, of which no more is looked at than must be."""

import struct
from collections.abc import Iterable, Iterator

from app.normal.digest import digest64
from app.store.pgcopy import HEADER, POSTGRES_EPOCH_US, TRAILER

# The number of fields, then of each its length and itself; all start with ingest_id, the event's time and received_at.
HEAD = struct.Struct("!hiqiqiq")
END_US = 7_258_118_400_000_000  # 2200
FIELDS = struct.Struct("!h")
LENGTH = struct.Struct("!i")


class Chunks(list[bytes]):
    """Takes what COPY writes: one piece for each row, the first with the header before it, and the trailer."""

    write = list.append

    def read(self, _size: int = -1) -> bytes:
        raise NotImplementedError

    def rows(self) -> list[bytes]:
        if len(self) < 2:
            return []
        return [self[0][len(HEADER) :], *self[1:-1]]


def ingest_id_of(row: bytes) -> int:
    return int(HEAD.unpack_from(row)[2])


def received_us_of(row: bytes) -> int | None:
    """None: it says none, or none that can be meant."""
    *_, time_bytes, _, received_bytes, postgres_us = HEAD.unpack_from(row)
    received_us = int(postgres_us) + POSTGRES_EPOCH_US
    return received_us if time_bytes == received_bytes == 8 and 0 < received_us < END_US else None


def probe_of(row: bytes) -> int:
    return digest64(row)


def content_of(rows: Iterable[bytes]) -> bytes:
    return b"".join((HEADER, *rows, TRAILER))


def split_rows(content: bytes) -> Iterator[bytes]:
    """The rows that content_of() joined."""
    start = len(HEADER)
    while (fields := FIELDS.unpack_from(content, start)[0]) >= 0:
        end = start + FIELDS.size
        for _ in range(fields):
            end += LENGTH.size + max(LENGTH.unpack_from(content, end)[0], 0)
        yield content[start:end]
        start = end
