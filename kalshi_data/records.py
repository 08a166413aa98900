"""Records of a lake as tables: Arrow, pandas or polars, in dollars and contracts, with what is known of their holes."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from importlib import import_module
from importlib.util import find_spec
from itertools import repeat
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from kalshi_data.coverage import Coverage
from kalshi_data.errors import LakeError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

# A suffix of a column is its unit: how many decimal places the integer has, in dollars or contracts.
PLACES = {"_e6": 6, "_e2": 2, "_e8": 8}
DIGITS = {pa.int32(): 10, pa.int64(): 19}
BITS = 64


class Records:
    """Rows that are read when they are asked for. `coverage` says which of them may be missing.

    The columns are those of the lake's files; the suffix of a unit is gone, and the value is an exact decimal number of
    dollars or contracts: `yes_price_e6` becomes `yes_price`.
    """

    def __init__(self, read: Callable[[], pa.Table], coverage: Callable[[], Coverage], time: str) -> None:
        self._read = read
        self._coverage = coverage
        self._time = time

    @cached_property
    def coverage(self) -> Coverage:
        return self._coverage()

    def to_arrow(self, *, integers: bool = False, by_time: bool = False) -> pa.Table:
        """Return the rows. They are ordered by hour, market and time, which for one market is by time; `by_time` sorts
        those of several. With `integers`, columns are as in the files: exact, in the unit of their name."""
        table = self._read()
        if by_time:
            table = table.sort_by(self._time)
        return table if integers else in_units(table)

    def to_df(self, *, integers: bool = False, floats: bool = False, by_time: bool = False) -> "pd.DataFrame":
        """Return the rows as a pandas DataFrame, whose `attrs` have the coverage.

        Dollars and contracts are exact decimals; with `floats`, the nearest binary numbers, as plots need them.
        """
        pandas = imported("pandas")
        table = self.to_arrow(integers=integers, by_time=by_time)

        def type_of(kind: pa.DataType) -> object:
            return pandas.ArrowDtype(kind) if pa.types.is_decimal(kind) else None

        frame = (_with_floats(table) if floats else table).to_pandas(types_mapper=type_of)
        frame.attrs.update(self.coverage.attributes())
        return frame

    def to_polars(self, *, integers: bool = False, by_time: bool = False) -> "pl.DataFrame":
        """Return the rows as a polars DataFrame."""
        frame: pl.DataFrame = imported("polars").from_arrow(self.to_arrow(integers=integers, by_time=by_time))
        return frame

    def __repr__(self) -> str:
        return f"<Records by {self._time}; to_df(), to_arrow() and to_polars() read them, coverage tells their holes>"


def in_units(table: pa.Table) -> pa.Table:
    """Return the table in dollars and contracts: a column with a unit in its name becomes an exact decimal."""
    with ThreadPoolExecutor(pa.cpu_count()) as pool:
        return _in_units(table, pool)


def _in_units(table: pa.Table, pool: ThreadPoolExecutor) -> pa.Table:
    fields, columns = [], []
    for field, column in zip(table.schema, table.columns, strict=True):
        places = PLACES.get(field.name[-3:])
        if places is None or field.type not in DIGITS:
            fields.append(field)
            columns.append(column)
            continue
        chunks = list(pool.map(_decimals, column.chunks, repeat(places)))
        kind = pa.decimal128(DIGITS[field.type], places)
        metadata = {"description": (field.metadata or {}).get(b"description", b""), "unit": _unit(places)}
        fields.append(pa.field(field.name[:-3], kind, field.nullable, metadata))
        columns.append(pa.chunked_array(chunks, kind))
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, table.schema.metadata))


def _decimals(array: pa.Array, places: int) -> pa.Array:
    """Return the integers as decimals with this number of places. Only the type changes, so every value is exact."""
    kind = pa.decimal128(DIGITS[array.type], places)
    if array.null_count == 0 and (numpy := _numpy()) is not None:
        # Arrow's own conversion takes seven times as long, longer than reading the values from a file.
        values = array.to_numpy()
        memory = pa.allocate_buffer(16 * len(values))  # Arrow's own keeps memory that is used again and again
        words = numpy.frombuffer(memory, numpy.int64).reshape(-1, 2)  # the lower half of 128 bits, and the upper one
        words[:, 0] = values
        numpy.right_shift(values, BITS - 1, out=words[:, 1], dtype=numpy.int64)
        return pa.Array.from_buffers(kind, len(values), [None, memory])
    whole = array.cast(pa.decimal128(DIGITS[array.type], 0))
    return pa.Array.from_buffers(kind, len(whole), whole.buffers(), whole.null_count, whole.offset)


@cache
def _numpy() -> Any:  # noqa: ANN401 - it may not be installed
    """Return numpy, which comes with pandas. Return None if it is not installed."""
    return import_module("numpy") if find_spec("numpy") and sys.byteorder == "little" else None


def _unit(places: int) -> str:
    return "contracts" if places == PLACES["_e2"] else "dollars"


def _with_floats(table: pa.Table) -> pa.Table:
    fields = [
        pa.field(field.name, pa.float64(), field.nullable, field.metadata) if pa.types.is_decimal(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields, table.schema.metadata))


def imported(name: str) -> ModuleType:
    """Return the module of an optional package. Raise LakeError if it is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise LakeError(
            f"{name} is not installed.",
            fix=f"pip install {name}{'' if name == 'requests' else '; to_arrow() works without it'}.",
        ) from None
