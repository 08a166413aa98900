"""Gatherers as their databases show them: journals and metadata, written as a gatherer writes them."""

from datetime import UTC, datetime, timedelta
from functools import cached_property

from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.storage.tables import GATHERER_TABLES
from tests.servers import new_database

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MARKET = """
    INSERT INTO markets (ticker, event_ticker, title, status, market_type, open_time, close_time, updated_time, updated_at, details)
    VALUES (%(ticker)s, 'KXTEST', %(title)s, %(status)s, 'binary', %(opens)s, %(closes)s, %(changed)s, %(updated)s, '{}')
    ON CONFLICT (ticker) DO UPDATE
    SET title = excluded.title, status = excluded.status, open_time = excluded.open_time,
        close_time = excluded.close_time, updated_time = excluded.updated_time, updated_at = excluded.updated_at,
        ingest_id = DEFAULT
"""


def at(minutes):
    """So long after noon."""
    return NOON + timedelta(minutes=minutes)


def moment(minutes):
    return None if minutes is None else at(minutes)


def execute(dsn, query, parameters=None):
    with connected(dsn) as connection, connection, connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall() if cursor.description else None


def put_market(dsn, ticker, opens=None, closes=None, updated=0, changed=None, title="A market", status="active"):
    values = {"opens": opens, "closes": closes, "updated": updated, "changed": changed}
    execute(
        dsn, MARKET, {"ticker": ticker, "title": title, "status": status} | {k: moment(v) for k, v in values.items()}
    )


class Gatherer:
    """Minutes are counted from noon."""

    def __init__(self, server, templates, name):
        self.name = name
        self._server = server
        self._templates = templates
        self._gaps = 0

    @cached_property
    def timeseries(self):
        return new_database(self._server, self._templates[DatabaseKind.TIMESERIES])

    @cached_property
    def metadata(self):
        return new_database(self._server, self._templates[DatabaseKind.METADATA])

    @property
    def has_recorded(self):
        """Its database was made for something."""
        return "timeseries" in vars(self)

    def is_read_into(self, production):
        """The deduplicator has looked into its tables, and found nothing so far."""
        execute(
            production,
            """INSERT INTO sync_cursors (gatherer, table_name, system_identifier, ingest_id)
            SELECT %s, table_name, system_identifier, 0 FROM unnest(%s) AS table_name, pg_control_system()
            ON CONFLICT DO NOTHING""",
            (self.name, [table.name for table in GATHERER_TABLES]),
        )
        return self

    def runs(self, started, recorded, ended=None, run_id=1):
        execute(
            self.timeseries,
            """INSERT INTO runs (run_id, gatherer, started_at, recorded_until, ended_at) VALUES (%s, %s, %s, %s, %s)
            ON CONFLICT (run_id) DO UPDATE
            SET recorded_until = excluded.recorded_until, ended_at = excluded.ended_at, ingest_id = DEFAULT""",
            (run_id, self.name, at(started), at(recorded), moment(ended)),
        )
        return self

    def listens(self, channel, ticker="", since=0, until=None, conn=7, run_id=1):
        execute(
            self.timeseries,
            """INSERT INTO subscriptions (run_id, started_at, ended_at, conn, channel, ticker)
            VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (run_id, conn, channel, ticker, started_at) DO UPDATE
            SET ended_at = excluded.ended_at, ingest_id = DEFAULT""",
            (run_id, at(since), moment(until), conn, channel, ticker),
        )
        return self

    def listens_to_all(self, since=0, tickers=()):
        for channel, conn in (("ticker", 1), ("trade", 3), ("market_lifecycle_v2", 5)):
            self.listens(channel, since=since, conn=conn)
        for ticker in tickers:
            self.listens("orderbook_delta", ticker, since=since)
        return self

    def misses(self, since, until=None, conn=7, sid=-1, channel="orderbook_delta", number=None, run_id=1):
        self._gaps += 1
        execute(
            self.timeseries,
            """INSERT INTO gaps (run_id, number, conn, started_at, ended_at, sid, markets, channel, cause)
            VALUES (%s, %s, %s, %s, %s, %s, 1, %s, 'disconnected') ON CONFLICT (run_id, number) DO UPDATE
            SET ended_at = excluded.ended_at, ingest_id = DEFAULT""",
            (run_id, number or self._gaps, conn, at(since), moment(until), sid, channel),
        )
        return self

    def misses_all(self, since, until=None):
        for conn in (1, 3, 5, 7):
            self.misses(since, until, conn)
        return self
