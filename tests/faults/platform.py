"""Three gatherers and the deduplicator as processes, on real databases, in front of one simulator."""

import contextlib

from app.databases import Kind
from app.postgres.connection import connected, value_of
from app.simulator.check.check import Check
from app.simulator.check.production import Production
from app.simulator.truth.reader import TruthReader
from app.store.tables import GATHERER_TABLES
from tests.faults.gathering import Databases, Running, gatherer, settings_of
from tests.processes import running, wait_until
from tests.servers import new_database

NAMES = ("one", "two", "three")
MERGED_SECONDS = 120
MERGED = """
    SELECT coalesce(min(ingest_id), 0) FROM sync_cursors WHERE gatherer = %s AND table_name = %s
"""


class Platform:
    def __init__(self, server, templates, simulator, folder):
        self.simulator = simulator
        self.folder = folder
        self.databases = {name: Databases(server, templates) for name in NAMES}
        self.production = new_database(server, templates[Kind.PRODUCTION])

    def settings_of(self, name, **others):
        key = NAMES.index(name)
        folder = self.folder / name
        given = settings_of(self.simulator, self.databases[name], folder, key, KALSHI_GATHERER=name, **others)
        return {"KALSHI_WS_CONNECTIONS": 7, **given, **others}

    def key_of(self, name):
        return self.simulator.where["keys"][NAMES.index(name)]["key_id"]

    def gatherer(self, name, **others):
        return gatherer({**self.settings_of(name), "KALSHI_WS_CONNECTIONS": 7, **others})

    @contextlib.contextmanager
    def gatherers(self):
        """All three, ready."""
        with contextlib.ExitStack() as stack:
            recorders = {name: stack.enter_context(self.gatherer(name)) for name in NAMES}
            for recorder in recorders.values():
                recorder.wait_until_ready()
            yield recorders

    @contextlib.contextmanager
    def deduplicator(self, **others):
        def listed(kind):
            return ";".join(f"{name}={getattr(each, kind).reveal()}" for name, each in self.databases.items())

        settings = {
            "KALSHI_PRODUCTION_DSN": self.production.reveal(),
            "KALSHI_GATHERER_DSNS": listed("timeseries"),
            "KALSHI_GATHERER_META_DSNS": listed("metadata"),
            "KALSHI_REST_URL": self.simulator.where["rest"],
            "KALSHI_OPS_ADDRESS": "127.0.0.1:0",
            "KALSHI_DATA_DIR": self.folder / "deduplicator",
            "KALSHI_FOLLOW_MILLISECONDS": 500,
            "KALSHI_COVERAGE_SECONDS": 2,
            "KALSHI_LOG_FORMAT": "json",
            **others,
        }
        with running("-m", "workers", "deduplicator", **settings) as process:
            yield Running(process)

    def value(self, query, *parameters):
        with connected(self.production) as connection:
            return value_of(connection, query, parameters or None)

    def rows(self, query):
        with connected(self.production) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def wait_until_merged(self):
        """All that the gatherers have is in production."""
        wait_until(lambda: not list(self._unmerged()), MERGED_SECONDS, "the end of merging")

    def _unmerged(self):
        for name, each in self.databases.items():
            for table in GATHERER_TABLES:
                last = each.value(f"SELECT coalesce(max(ingest_id), 0) FROM {table.name}")
                if self.value(MERGED, name, table.name) < last:
                    yield name, table.name

    def judge(self):
        """After the simulator has ended: its truth is written whole then."""
        assert self.simulator.stop() == 0
        with connected(self.production) as connection:
            return Check(TruthReader(self.simulator.truth), Production(connection)).run()

    def assert_exact(self):
        report = self.judge()
        found = {table.table: (table.found, table.unmatched) for table in report.tables}
        assert report.is_clean, (found, report.books, [table.examples for table in report.tables])
        assert all(found[name][0] for name in ("orderbook_deltas", "trades", "tickers")), found
        return report
