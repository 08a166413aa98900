from collections.abc import Iterator

from psycopg2 import sql

from app.simulator.check.columns import COLUMNS
from app.simulator.check.production import Production
from app.simulator.check.source import Row
from app.simulator.check.tables import Table

# What carries no time of its own has one that differs by connection. Copies of an announcement come within seconds, and
# have the same number; equal announcements within a minute have different ones.
LIFECYCLE = """
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


class Gatherer(Production):
    """A gatherer's own time series database, where two connections record what concerns the whole exchange."""

    def untimed_rows(self, table: Table) -> Iterator[Row]:
        fields, nth, ts_missing = (sql.SQL(column) for column in COLUMNS[table])
        query = sql.SQL(UNTIMED).format(
            fields=fields, nth=nth, ts_missing=ts_missing, table=sql.Identifier(table.name), since=self._since
        )
        return self._streamed(query, f"{table.name}_untimed")

    def lifecycle(self) -> Iterator[Row]:
        return self._streamed(sql.SQL(LIFECYCLE).format(since=self._since), "lifecycle")
