"""Export for NautilusTrader: a Parquet catalog of order book deltas, trades and instruments. The package is not needed.

Its numbers are integers of 128 bits with 16 decimal places, as in its builds for Linux and macOS.
"""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from kalshi_data.exports.files import NewFile, of_kinds, refuse_existing
from kalshi_data.exports.rows import RowKind
from kalshi_data.times import us_of

VENUE = "KALSHI"
PRICE_PRECISION, SIZE_PRECISION, PLACES = 6, 2, 16
NUMBER = pa.binary(16)
NS, FLAG = pa.uint64(), pa.uint8()
ADD, UPDATE, DELETE, CLEAR = 1, 2, 3, 4
LAST_OF_EVENT, OF_SNAPSHOT = 128, 32
DELTAS = [
    ("action", FLAG),
    ("side", FLAG),
    ("price", NUMBER),
    ("size", NUMBER),
    ("order_id", NS),
    ("flags", FLAG),
    ("sequence", NS),
    ("ts_event", NS),
    ("ts_init", NS),
]
TRADES = [
    ("price", NUMBER),
    ("size", NUMBER),
    ("aggressor_side", FLAG),
    ("trade_id", pa.string()),
    ("ts_event", NS),
    ("ts_init", NS),
]
# The finest step of prices in each structure.
PRICE_STEPS = {"linear_cent": "0.010000", "deci_cent": "0.001000", "tapered_deci_cent": "0.001000"}
SMALLEST_STEP = "0.000001"
INSTRUMENT = pa.schema(
    [
        ("id", pa.dictionary(pa.int64(), pa.string())),
        ("raw_symbol", pa.string()),
        ("asset_class", pa.dictionary(pa.int8(), pa.string())),
        ("currency", pa.dictionary(pa.int16(), pa.string())),
        ("price_precision", FLAG),
        ("size_precision", FLAG),
        ("price_increment", pa.dictionary(pa.int16(), pa.string())),
        ("size_increment", pa.dictionary(pa.int16(), pa.string())),
        ("activation_ns", NS),
        ("expiration_ns", NS),
        ("maker_fee", pa.string()),
        ("taker_fee", pa.string()),
        ("max_quantity", pa.dictionary(pa.int16(), pa.string())),
        ("min_quantity", pa.dictionary(pa.int16(), pa.string())),
        ("outcome", pa.string()),
        ("description", pa.string()),
        ("info", pa.binary()),
        ("ts_event", NS),
        ("ts_init", NS),
    ],
    {"class": "BinaryOption"},
)


class NautilusDay:
    """The files of a market and day."""

    def __init__(self, folder: Path, ticker: str, day: datetime) -> None:
        self._deltas = CatalogFile(folder, "order_book_delta", ticker, day, DELTAS)
        self._trades = CatalogFile(folder, "trade_tick", ticker, day, TRADES)

    def write(self, _hour: datetime, events: pa.Table) -> None:
        rows = of_kinds(events, RowKind.CLEAR, RowKind.SNAPSHOT, RowKind.CHANGE)
        # A change below nothing changes nothing that a reader could see.
        is_seen = (pc.field("kind") != int(RowKind.CHANGE)) | (pc.field("size_e2") != pc.field("before_e2"))
        self._deltas.write(_deltas(rows.filter(is_seen).combine_chunks()))
        self._trades.write(_trades(of_kinds(events, RowKind.TRADE)))

    def finish(self) -> None:
        self._deltas.finish()
        self._trades.finish()


class CatalogFile:
    """A file of a catalog. Its name has the first and the last time in it."""

    def __init__(
        self, folder: Path, kind: str, ticker: str, day: datetime, columns: list[tuple[str, pa.DataType]]
    ) -> None:
        instrument = f"{ticker}.{VENUE}"
        self._folder = folder / "data" / kind / instrument
        refuse_existing(sorted(self._folder.glob(f"{day:%Y-%m-%d}T*.parquet")))
        self._file = NewFile(self._folder / f"{day:%Y-%m-%d}")
        metadata = {
            "instrument_id": instrument,
            "price_precision": str(PRICE_PRECISION),
            "size_precision": str(SIZE_PRECISION),
        }
        self._schema = pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns], metadata)
        self._writer: parquet.ParquetWriter | None = None
        self._first_ns = self._last_ns = 0

    def write(self, columns: list[pa.Array]) -> None:
        times = columns[-1]
        if not len(times):
            return
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._file.begin(), self._schema, compression="zstd")
            self._first_ns = times[0].as_py()
        self._last_ns = times[-1].as_py()
        self._writer.write_table(pa.table(columns, self._schema))

    def finish(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._file.finish(_file_name(self._first_ns, self._last_ns))


def write_instrument(folder: Path, ticker: str, market: dict[str, Any]) -> None:
    """Write what the lake knows of the market as a binary option; its YES is the instrument."""
    opened, closed = (
        us_of(moment) * 1000 if (moment := market.get(name)) else 0 for name in ("open_time", "close_time")
    )
    instrument = f"{ticker}.{VENUE}"
    values = {
        "id": instrument,
        "raw_symbol": ticker,
        "asset_class": "ALTERNATIVE",
        "currency": "USD",
        "price_precision": PRICE_PRECISION,
        "size_precision": SIZE_PRECISION,
        "price_increment": PRICE_STEPS.get(market.get("price_level_structure") or "", SMALLEST_STEP),
        "size_increment": "0.01",
        "activation_ns": opened,
        "expiration_ns": closed,
        "maker_fee": "0",
        "taker_fee": "0",
        "outcome": market.get("yes_sub_title") or "Yes",
        "description": market.get("title") or ticker,
        "info": b"null",
        "ts_event": opened,
        "ts_init": opened,
    }
    path = folder / "data/binary_option" / instrument / _file_name(opened, opened)
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist([values], INSTRUMENT), path)


def _deltas(rows: pa.Table) -> list[pa.Array]:
    kind, size = rows["kind"], rows["size_e2"]
    is_clear = pc.equal(kind, int(RowKind.CLEAR))
    changed = pc.if_else(pc.equal(size, 0), DELETE, pc.if_else(pc.equal(rows["before_e2"], 0), ADD, UPDATE))
    action = pc.if_else(is_clear, CLEAR, pc.if_else(pc.equal(kind, int(RowKind.SNAPSHOT)), ADD, changed))
    side = pc.if_else(is_clear, 0, pc.if_else(rows["is_bid"], 1, 2))
    at_us = rows["at_us"].combine_chunks()
    next_us = pa.concat_arrays([at_us[1:], pa.array([-1], pa.int64())]) if len(at_us) else at_us
    last = pc.if_else(pc.not_equal(at_us, next_us), LAST_OF_EVENT, 0)
    flags = pc.add(last, pc.if_else(pc.equal(kind, int(RowKind.CHANGE)), 0, OF_SNAPSHOT))
    price = pc.if_else(is_clear, 0, rows["price_e6"])
    sequence = pc.max_element_wise(rows["clock"], 0)
    nothing = pa.repeat(pa.scalar(0, pa.int64()), rows.num_rows)
    numbers = _number(price, PRICE_PRECISION), _number(size, SIZE_PRECISION)
    return [
        _as(action, FLAG),
        _as(side, FLAG),
        *numbers,
        _as(nothing, NS),
        _as(flags, FLAG),
        _as(sequence, NS),
        *_times(rows),
    ]


def _trades(rows: pa.Table) -> list[pa.Array]:
    numbers = _number(rows["price_e6"], PRICE_PRECISION), _number(rows["size_e2"], SIZE_PRECISION)
    side = _as(pc.if_else(rows["is_bid"], 1, 2), FLAG)
    return [*numbers, side, _as(rows["trade_id"], pa.string()), *_times(rows)]


def _times(rows: pa.Table) -> list[pa.Array]:
    return [_as(pc.multiply(rows["at_us"], 1000), NS), _as(rows["local_ns"], NS)]


def _as(column: pa.ChunkedArray | pa.Array, kind: pa.DataType) -> pa.Array:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return whole.cast(kind)


def _number(column: pa.ChunkedArray | pa.Array, precision: int) -> pa.Array:
    """Return integers of 128 bits: those of the column, which have so many decimal places, with sixteen."""
    factor = pa.scalar(Decimal(10 ** (PLACES - precision)))
    product = pc.multiply(_as(column, pa.decimal128(19, 0)), factor)
    return pa.Array.from_buffers(NUMBER, len(product), [None, product.buffers()[1]], offset=product.offset)


def _file_name(first_ns: int, last_ns: int) -> str:
    return f"{_time_name(first_ns)}_{_time_name(last_ns)}.parquet"


def _time_name(moment_ns: int) -> str:
    seconds, ns = divmod(moment_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H-%M-%S}-{ns:09d}Z"
