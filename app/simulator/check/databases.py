"""The recorded rows in a database: production, or a gatherer's own time-series database."""

from collections.abc import Iterator

import psycopg2.errors
import psycopg2.extensions
from psycopg2 import sql

from app.errors import DatabaseError
from app.postgres.connection import Connection
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

ROWS = """
    SELECT (extract(epoch FROM exchange_ts) * 1000)::BIGINT, {nth}, ticker, {fields}
    FROM {table}
    WHERE {ts_missing} = {untimed} AND exchange_ts >= {since}
    ORDER BY exchange_ts
"""

LIFECYCLE = """
    SELECT ticker, event_type, payload FROM lifecycle_events WHERE exchange_ts >= {since} ORDER BY exchange_ts
"""

SNAPSHOT_SAMPLE = """
    SELECT
        ticker, (extract(epoch FROM snapshot_ts) * 1000000)::BIGINT, clock,
        yes_prices_e6, yes_sizes_e2, no_prices_e6, no_sizes_e2
    FROM orderbook_snapshots
    WHERE source = 'ws' AND clock >= 0 AND yes_prices_e6 IS NOT NULL
        AND snapshot_ts >= TIMESTAMPTZ 'epoch' + %s * INTERVAL '1 microsecond'
    ORDER BY hashtextextended(ticker || ' ' || clock, 0), snapshot_ts
    LIMIT %s
"""

BASE = """
    SELECT clock, yes_prices_e6, yes_sizes_e2, no_prices_e6, no_sizes_e2
    FROM orderbook_snapshots
    WHERE ticker = %(ticker)s AND source = 'ws' AND clock BETWEEN 0 AND %(clock)s AND yes_prices_e6 IS NOT NULL
        AND snapshot_ts >= TIMESTAMPTZ 'epoch' + %(from_us)s * INTERVAL '1 microsecond'
        AND snapshot_ts < TIMESTAMPTZ 'epoch' + %(until_us)s * INTERVAL '1 microsecond'
    ORDER BY clock DESC, snapshot_ts DESC
    LIMIT 1
"""

CHANGES = """
    SELECT yes_side, price_e6, sum(delta_e2)::BIGINT
    FROM orderbook_deltas
    WHERE ticker = %(ticker)s AND clock > %(base)s AND clock <= %(clock)s
        AND exchange_ts >= TIMESTAMPTZ 'epoch' + %(from_us)s * INTERVAL '1 microsecond'
        AND exchange_ts < TIMESTAMPTZ 'epoch' + %(until_us)s * INTERVAL '1 microsecond'
    GROUP BY yes_side, price_e6
"""


class ProductionRows:
    """The production database. Rows of earlier histories, before the given time, are excluded."""

    def __init__(self, connection: Connection, since_us: int = 0) -> None:
        self._connection = connection
        self._since_us = since_us
        self._since = sql.SQL("TIMESTAMPTZ 'epoch' + {} * INTERVAL '1 microsecond'").format(sql.Literal(since_us))

    def rows(self, table: SimTable) -> Iterator[Row]:
        return self._streamed(self._query(table, untimed=False), table.name)

    def untimed_rows(self, table: SimTable) -> Iterator[Row]:
        return self._streamed(self._query(table, untimed=True), f"{table.name}_untimed")

    def lifecycle(self) -> Iterator[Row]:
        return self._streamed(sql.SQL(LIFECYCLE).format(since=self._since), "lifecycle")

    def snapshots(self) -> Iterator[RecordedSnapshot]:
        with self._connection.cursor() as cursor:
            cursor.execute(SNAPSHOT_SAMPLE, (self._since_us, SNAPSHOTS))
            for ticker, at_us, clock, *levels in cursor:
                yield RecordedSnapshot(ticker, at_us, clock, book_sides(levels))

    def rebuilt_book(self, ticker: str, clock: int, from_us: int, until_us: int) -> RebuiltBook | None:
        where = {"ticker": ticker, "clock": clock, "from_us": max(from_us, self._since_us), "until_us": until_us}
        with self._connection.cursor() as cursor:
            cursor.execute(BASE, where)
            base = cursor.fetchone()
            if base is None:
                return None
            cursor.execute(CHANGES, where | {"base": base[0]})
            return RebuiltBook(base[0], with_changes(book_sides(base[1:]), cursor))

    def _query(self, table: SimTable, *, untimed: bool) -> sql.Composed:
        fields, nth, ts_missing = (sql.SQL(column) for column in COLUMNS[table])
        return sql.SQL(ROWS).format(
            fields=fields,
            nth=nth,
            ts_missing=ts_missing,
            table=sql.Identifier(table.name),
            untimed=sql.Literal(untimed),
            since=self._since,
        )

    def _streamed(self, query: sql.Composable, name: str) -> Iterator[Row]:
        """Yield the rows of a large answer, fetched in pieces."""
        with self._connection.cursor(name=name) as cursor:
            cursor.itersize = ROWS_AT_ONCE
            self._execute(cursor, query)
            yield from cursor

    def _execute(self, cursor: psycopg2.extensions.cursor, query: sql.Composable) -> None:
        try:
            cursor.execute(query)
        except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn) as error:
            raise DatabaseError(
                f"{self._connection.info.dbname} is no production database of this version.",
                str(error).strip(),
                "name the production database, and bring it up to date with: kalshi-data migrate.",
            ) from error


# Messages without a time of their own have one that differs by connection. Copies of an announcement arrive within
# seconds and have the same nth; equal announcements within a minute have different ones.
GATHERER_LIFECYCLE = """
    SELECT ticker, event_type, payload
    FROM (
        SELECT *, lag(exchange_ts) OVER (
            PARTITION BY ticker, event_type, digest, nth ORDER BY exchange_ts
        ) AS copied_at
        FROM lifecycle_events
        WHERE exchange_ts >= {since}
    ) AS heard
    WHERE copied_at IS NULL OR exchange_ts > copied_at + INTERVAL '10 seconds'
    ORDER BY exchange_ts
"""

UNTIMED = """
    SELECT (extract(epoch FROM min(exchange_ts)) * 1000)::BIGINT, {nth}, ticker, {fields}
    FROM {table}
    WHERE {ts_missing} AND exchange_ts >= {since}
    GROUP BY ticker, {fields}, {nth}
    ORDER BY min(exchange_ts)
"""


class GathererRows(ProductionRows):
    """A gatherer's own time-series database, where two connections record the channels of the whole exchange."""

    def untimed_rows(self, table: SimTable) -> Iterator[Row]:
        fields, nth, ts_missing = (sql.SQL(column) for column in COLUMNS[table])
        query = sql.SQL(UNTIMED).format(
            fields=fields, nth=nth, ts_missing=ts_missing, table=sql.Identifier(table.name), since=self._since
        )
        return self._streamed(query, f"{table.name}_untimed")

    def lifecycle(self) -> Iterator[Row]:
        return self._streamed(sql.SQL(GATHERER_LIFECYCLE).format(since=self._since), "lifecycle")
