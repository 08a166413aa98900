"""Encode rows as PostgreSQL's binary COPY.

This runs for every message of the exchange. A loop over columns costs three times as much per row as one expression
that packs all of them, so that expression is generated once per table, from its columns, and compiled.
"""

import struct
from collections.abc import Callable, Sequence
from functools import cache

from app.storage.tables import ColumnType, Row, Table

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
TRAILER = struct.pack("!h", -1)
NULL = struct.pack("!i", -1)
# PostgreSQL's epoch is 2000, Unix's is 1970.
POSTGRES_EPOCH_US = 946_684_800_000_000
JSONB_VERSION = b"\x01"
INTEGER_OID = 23
BIGINT_OID = 20

Encoder = Callable[[Sequence[Row]], bytes]

# The struct codes of a field (its length, then its value), and the length.
FIXED = {
    ColumnType.TIMESTAMP: ("iq", 8),
    ColumnType.BIGINT: ("iq", 8),
    ColumnType.INTEGER: ("ii", 4),
    ColumnType.SMALLINT: ("ih", 2),
    ColumnType.BOOLEAN: ("ib", 1),  # not "?", which accepts None as False
}


class UnfitValueError(ValueError):
    """A value does not fit its column's type or size, or the row has too few values."""


def copy_bytes(table: Table, rows: Sequence[Row]) -> bytes:
    """Return the whole COPY input for these rows. Raise UnfitValueError if a value does not fit its column."""
    try:
        return b"".join((HEADER, encoder(table)(rows), TRAILER))
    except (struct.error, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise UnfitValueError(f"a value does not fit its column: {error}") from error


@cache
def encoder(table: Table) -> Encoder:
    """Return a function from rows to their bytes, without COPY's header and trailer."""
    names = [f"v{position}" for position in range(len(table.columns))]
    parts = _Parts(len(names))
    for name, column in zip(names, table.columns, strict=True):
        parts.add(name, column.type, column.nullable)
    source = f"lambda rows: b''.join([{parts.expression()} for {', '.join(names)}, in rows])"
    compiled: Encoder = eval(source, {"__builtins__": {}, **parts.helpers})  # noqa: S307 - from our own columns alone
    return compiled


class _Parts:
    """The expression that packs a row, built column by column; adjacent columns of fixed size share one struct."""

    def __init__(self, columns: int) -> None:
        self.helpers: dict[str, object] = {
            "len": len,
            "NULL": NULL,
            "EPOCH": POSTGRES_EPOCH_US,
            "VERSION": JSONB_VERSION,
            "pack_length": struct.Struct("!i").pack,
            "integers": _array_encoder(INTEGER_OID, "ii", 4),
            "bigints": _array_encoder(BIGINT_OID, "iq", 8),
        }
        self._pieces: list[str] = []
        self._format = "!h"
        self._arguments = [str(columns)]

    def add(self, name: str, kind: ColumnType, nullable: bool) -> None:
        if kind in FIXED and not nullable:
            self._extend(*FIXED[kind], _value(name, kind))
        elif kind is ColumnType.TEXT and not nullable:
            self._format += "i"
            self._arguments.append(f"len({name}_bytes := {name}.encode())")
            self._close(f"{name}_bytes")
        else:
            self._close(_single(name, kind, nullable))
            if kind in FIXED:
                self.helpers[f"pack_{kind.name}"] = struct.Struct("!" + FIXED[kind][0]).pack

    def expression(self) -> str:
        """Return the source of the expression; its struct helpers are then complete too."""
        self._close()
        return " + ".join(self._pieces)

    def _extend(self, code: str, size: int, value: str) -> None:
        self._format += code
        self._arguments += [str(size), value]

    def _close(self, *then: str) -> None:
        if self._arguments:
            helper = f"pack_{len(self._pieces)}"
            self.helpers[helper] = struct.Struct(self._format).pack
            self._pieces.append(f"{helper}({', '.join(self._arguments)})")
        self._format, self._arguments = "!", []
        self._pieces += then


def _value(name: str, kind: ColumnType) -> str:
    return f"{name} - EPOCH" if kind is ColumnType.TIMESTAMP else name


def _single(name: str, kind: ColumnType, nullable: bool) -> str:
    """Return the expression for one field with its length, outside a shared struct."""
    if kind in FIXED:
        expression = f"pack_{kind.name}({FIXED[kind][1]}, {_value(name, kind)})"
    elif kind is ColumnType.TEXT:
        expression = f"pack_length(len({name}_bytes := {name}.encode())) + {name}_bytes"
    elif kind is ColumnType.JSON:
        expression = f"pack_length(len({name}) + 1) + VERSION + {name}"
    elif kind is ColumnType.BYTES:
        expression = f"pack_length(len({name})) + {name}"
    else:
        expression = f"{'integers' if kind is ColumnType.INTEGER_ARRAY else 'bigints'}({name})"
    return f"(NULL if {name} is None else {expression})" if nullable else f"({expression})"


def _array_encoder(element_oid: int, code: str, size: int) -> Callable[[Sequence[int]], bytes]:
    """Return an encoder for a one-dimensional array without NULLs."""
    empty = struct.pack("!iiii", 12, 0, 0, element_oid)

    def encode(values: Sequence[int]) -> bytes:
        if not values:
            return empty
        count = len(values)
        fields: list[int] = [size] * (2 * count)
        fields[1::2] = values
        length = 20 + count * (4 + size)
        return struct.pack(f"!iiiiii{code * count}", length, 1, 0, element_oid, count, 1, *fields)

    return encode
