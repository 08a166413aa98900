"""The recorded rows in a lake, read by DuckDB from its Parquet files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import msgspec

from app.errors import OperatorError
from app.simulator.check.tables import (
    COLUMNS,
    ROWS_AT_ONCE,
    SNAPSHOTS,
    RebuiltBook,
    RecordedSnapshot,
    Row,
    SimTable,
    book_sides,
    with_changes,
)
from app.storage.tables import PRODUCTION_TABLES

ROWS = """
    SELECT epoch_us(exchange_ts) // 1000, {nth}, ticker, {fields}
    FROM {table} WHERE {ts_missing} = ? ORDER BY exchange_ts
"""

LIFECYCLE = "SELECT ticker, event_type, payload FROM lifecycle_events ORDER BY exchange_ts"

SNAPSHOT_SAMPLE = """
    SELECT ticker, epoch_us(snapshot_ts), clock, yes_prices_e6, yes_sizes_e2, no_prices_e6, no_sizes_e2
    FROM orderbook_snapshots
    WHERE source = 'ws' AND clock >= 0 AND yes_prices_e6 IS NOT NULL
    ORDER BY md5(ticker || ' ' || clock), snapshot_ts
    LIMIT ?
"""

BASE = """
    SELECT clock, yes_prices_e6, yes_sizes_e2, no_prices_e6, no_sizes_e2
    FROM orderbook_snapshots
    WHERE ticker = ? AND source = 'ws' AND clock BETWEEN 0 AND ? AND yes_prices_e6 IS NOT NULL
        AND epoch_us(snapshot_ts) >= ? AND epoch_us(snapshot_ts) < ?
    ORDER BY clock DESC, snapshot_ts DESC
    LIMIT 1
"""

CHANGES = """
    SELECT yes_side, price_e6, sum(delta_e2)::BIGINT
    FROM orderbook_deltas
    WHERE ticker = ? AND clock > ? AND clock <= ? AND epoch_us(exchange_ts) >= ? AND epoch_us(exchange_ts) < ?
    GROUP BY yes_side, price_e6
"""


class LakeRows:
    """Parquet files under processed/<table>/date=…/hour=…/, with the columns of production."""

    def __init__(self, folder: Path) -> None:
        self._database = duckdb.connect()
        self._database.execute("SET timezone = 'UTC'")
        for name in (table.name for table in PRODUCTION_TABLES):
            files = folder / "processed" / name / "**" / "*.parquet"
            if not any((folder / "processed" / name).rglob("*.parquet")):
                raise OperatorError(
                    f"{folder} is no lake of this version.",
                    f"There is no Parquet file of {name}: {files}",
                    "name the folder that has processed/ in it, and export all tables.",
                )
            self._database.read_parquet(str(files), hive_partitioning=True).create_view(name)

    def rows(self, table: SimTable) -> Iterator[Row]:
        return self._streamed(_query(table), [False])

    def untimed_rows(self, table: SimTable) -> Iterator[Row]:
        return self._streamed(_query(table), [True])

    def lifecycle(self) -> Iterator[Row]:
        for ticker, event_type, payload in self._streamed(LIFECYCLE):
            yield ticker, event_type, msgspec.json.decode(payload)

    def snapshots(self) -> Iterator[RecordedSnapshot]:
        for ticker, at_us, clock, *levels in self._streamed(SNAPSHOT_SAMPLE, [SNAPSHOTS]):
            yield RecordedSnapshot(ticker, at_us, clock, book_sides(levels))

    def rebuilt_book(self, ticker: str, clock: int, from_us: int, until_us: int) -> RebuiltBook | None:
        base = self._database.execute(BASE, [ticker, clock, from_us, until_us]).fetchone()
        if base is None:
            return None
        changes = self._database.execute(CHANGES, [ticker, base[0], clock, from_us, until_us]).fetchall()
        return RebuiltBook(base[0], with_changes(book_sides(base[1:]), changes))

    def _streamed(self, query: str, parameters: Sequence[object] = ()) -> Iterator[Row]:
        # A cursor per answer: several answers are read alternately.
        answer = self._database.cursor().execute(query, parameters)
        while rows := answer.fetchmany(ROWS_AT_ONCE):
            yield from rows


def _query(table: SimTable) -> str:
    fields, nth, ts_missing = COLUMNS[table]
    return ROWS.format(fields=fields, nth=nth, ts_missing=ts_missing, table=table.name)
