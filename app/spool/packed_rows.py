"""Rows as bytes and back."""

from collections.abc import Sequence
from typing import Any

import msgspec

from app.store.tables import Row, Table

ENCODER = msgspec.msgpack.Encoder()
DECODER = msgspec.msgpack.Decoder(list[tuple[Any, ...]])


def pack(rows: Sequence[Row]) -> bytes:
    try:
        return ENCODER.encode(rows)
    except (TypeError, ValueError, OverflowError):
        return ENCODER.encode([tuple(map(_packable, row)) for row in rows])


def unpack(content: bytes, columns: Sequence[str], table: Table) -> list[Row]:
    """Rows of the table as it is now, whatever columns it had when they were packed."""
    rows = DECODER.decode(content)
    if tuple(columns) == table.column_names:
        return rows
    return [_rearranged(row, columns, table) for row in rows]


def _packable(value: object) -> object:
    """What cannot be packed fits no column either: it becomes something that fits none, so that it is quarantined."""
    try:
        ENCODER.encode(value)
    except (TypeError, ValueError, OverflowError):
        return [repr(value)]
    return value


def _rearranged(row: Row, columns: Sequence[str], table: Table) -> Row:
    if len(row) != len(columns):
        return (list(row),)
    values = dict(zip(columns, row, strict=True))
    return tuple(values.get(name) for name in table.column_names)
