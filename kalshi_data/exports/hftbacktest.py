"""Export for hftbacktest: one npz file a market and day, an array of its event_dtype. numpy is not needed to write it.

Prices and sizes are binary numbers in this format, each the nearest one to the exact decimal.
"""

import zipfile
from array import array
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_data.exports.files import NewFile, of_kinds
from kalshi_data.exports.rows import RowKind

# hftbacktest's flags: what an event is, whom it is for, and its side.
DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4
EVERYBODY = (1 << 31) | (1 << 30)  # the exchange's side of the simulation and the trader's
BUY, SELL = 1 << 29, 1 << 28
FLAGS = {RowKind.CLEAR: CLEAR, RowKind.SNAPSHOT: SNAPSHOT, RowKind.CHANGE: DEPTH, RowKind.TRADE: TRADE}
FIELDS = (
    "[('ev', '<u8'), ('exch_ts', '<i8'), ('local_ts', '<i8'), ('px', '<f8'), ('qty', '<f8'), "
    "('order_id', '<u8'), ('ival', '<i8'), ('fval', '<f8')]"
)
COLUMNS, COLUMN_BYTES = 8, 8
HEADER_BYTES = 512
CHUNK_BYTES = 1 << 20


class HftbacktestDay:
    """The file of a market and day. A reset is one event without a side, which clears both."""

    def __init__(self, folder: Path, ticker: str, day: datetime) -> None:
        self._file = NewFile(folder / f"{ticker}_{day:%Y%m%d}.npz")
        self._records = self._file.begin().with_suffix(".records")
        self._records.write_bytes(b"")
        self._rows = 0

    def write(self, _hour: datetime, events: pa.Table) -> None:
        rows = of_kinds(events, *FLAGS)
        number = pc.index_in(rows["kind"], pa.array([int(kind) for kind in FLAGS], pa.int64()))
        flags = pa.array([EVERYBODY | flag for flag in FLAGS.values()], pa.int64()).take(number.combine_chunks())
        side = pc.if_else(rows["is_bid"], BUY, SELL)
        side = pc.if_else(pc.equal(rows["kind"], int(RowKind.CLEAR)), 0, side)
        columns = [
            pc.bit_wise_or(flags, side),
            pc.multiply(rows["at_us"], 1000),
            rows["local_ns"],
            pc.divide(rows["price_e6"].cast(pa.float64()), 1e6),
            pc.divide(rows["size_e2"].cast(pa.float64()), 1e2),
        ]
        records = array("q", bytes(rows.num_rows * COLUMNS * COLUMN_BYTES))
        for position, column in enumerate(columns):
            records[position::COLUMNS] = _words(column)
        with self._records.open("ab") as file:
            records.tofile(file)
        self._rows += rows.num_rows

    def finish(self) -> None:
        with (
            zipfile.ZipFile(self._file.part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open("data.npy", "w", force_zip64=True) as packed,
            self._records.open("rb") as records,
        ):
            packed.write(npy_header(self._rows))
            while chunk := records.read(CHUNK_BYTES):
                packed.write(chunk)
        self._records.unlink()
        self._file.finish()


def npy_header(rows: int) -> bytes:
    """Return what stands before the records in a file of numpy's format, version 1."""
    text = f"{{'descr': {FIELDS}, 'fortran_order': False, 'shape': ({rows},), }}"
    length = HEADER_BYTES - 10
    return b"\x93NUMPY\x01\x00" + length.to_bytes(2, "little") + f"{text:<{length - 1}}\n".encode()


def _words(column: pa.ChunkedArray | pa.Array) -> "array[int]":
    """Return the column's bytes as integers: numbers of both kinds take eight bytes."""
    found = array("q")
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        start, end = chunk.offset * COLUMN_BYTES, (chunk.offset + len(chunk)) * COLUMN_BYTES
        found.frombytes(memoryview(chunk.buffers()[1])[start:end])
    return found
