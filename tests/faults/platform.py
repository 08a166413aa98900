"""Three gatherers and the deduplicator as processes, on real databases, in front of one simulator."""

import contextlib

from app.postgres.connection import connected, value_of
from app.postgres.databases import DatabaseKind
from app.simulator.check.check import SimCheck
from app.simulator.check.databases import ProductionRows
from app.simulator.truth import SENT, TruthReader, sent_file
from app.storage.tables import GATHERER_TABLES
from tests.faults.gathering import Databases, Running, gatherer, migrated, settings_of
from tests.processes import running, wait_until
from tests.servers import new_database

NAMES = ("one", "two", "three")
MERGED_SECONDS = 240
AUDITED_SECONDS = 300
MERGED = """
    SELECT coalesce(min(ingest_id), 0) FROM sync_cursors WHERE gatherer = %s AND table_name = %s
"""
STREAMED_BOOKS = "SELECT coalesce(max(ingest_id), 0) FROM orderbook_snapshots WHERE source = 'ws'"
OPEN_FINDINGS = (
    "SELECT ticker, from_ts, to_ts, levels FROM audit_findings WHERE resolved_at IS NULL AND NOT is_explained"
)


class Platform:
    """All databases are on one server, but those of a gatherer or of production that is given one of its own."""

    def __init__(self, server, templates, simulator, folder, **own):
        self.simulator = simulator
        self.folder = folder
        self._of_the_killed = []
        self.databases = {
            name: Databases.of_its_own(own[name]) if name in own else Databases(server, templates) for name in NAMES
        }
        self.production = (
            migrated(own["production"], DatabaseKind.PRODUCTION)
            if "production" in own
            else new_database(server, templates[DatabaseKind.PRODUCTION])
        )

    def key_of(self, name):
        return self.simulator.where["keys"][NAMES.index(name)]["key_id"]

    def gatherer(self, name, **others):
        settings = {
            "KALSHI_GATHERER": name,
            "KALSHI_WS_CONNECTIONS": 7,
            "KALSHI_SNAPSHOT_REFRESH_SECONDS": 60,
            **others,
        }
        where = self.simulator, self.databases[name], self.folder / name, NAMES.index(name)
        return gatherer(settings_of(*where, **settings))

    @contextlib.contextmanager
    def gatherers(self, *names):
        """Those, or all three, ready."""
        with contextlib.ExitStack() as stack:
            recorders = {name: stack.enter_context(self.gatherer(name)) for name in names or NAMES}
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
            "KALSHI_FOLLOW_MILLISECONDS": 1_000,
            "KALSHI_COVERAGE_SECONDS": 2,
            "KALSHI_LOG_FORMAT": "json",
            **others,
        }
        with running("-m", "workers", "deduplicator", **settings) as process:
            yield Running(process)

    def kill(self, name, recorder):
        """What only this one was sent a moment before, such as the first changes of a market, is lost with it."""
        key_id = self.key_of(name)
        sockets = self.simulator.state()["connections"]
        recorder.kill()
        self._of_the_killed += [socket["name"] for socket in sockets if socket["key_id"] == key_id]

    def value(self, query, *parameters):
        with connected(self.production) as connection:
            return value_of(connection, query, parameters or None)

    def rows(self, query):
        with connected(self.production) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def finish(self, recorders, deduplicator):
        """All that happened is sent, received, and merged."""
        self.simulator.stop_the_clock()
        for recorder in recorders.values():
            recorder.stop()
        self.wait_until_merged()
        deduplicator.stop()

    def wait_until_merged(self):
        """All that the gatherers have is in production."""
        wait_until(lambda: not list(self._unmerged()), MERGED_SECONDS, "the end of merging")

    def wait_until_audited(self):
        """Every book that the stream has shown by now comes out even. Only while gatherers run: of those that have
        ended, a while must pass before what they heard is known."""
        through = self.value(STREAMED_BOOKS)
        audited = "SELECT ingest_id >= %s AND equal > 0 FROM audit_progress"
        wait_until(lambda: self.value(audited, through), AUDITED_SECONDS, f"an audit up to book {through}")
        found = self.rows(OPEN_FINDINGS)
        assert not found, (len(found), found[:10])

    def _unmerged(self):
        for name, each in self.databases.items():
            for table in GATHERER_TABLES:
                last = each.value(f"SELECT coalesce(max(ingest_id), 0) FROM {table.name}")
                # Of a database that was put back, the cursor may be ahead.
                if self.value(MERGED, name, table.name) != last:
                    yield name, table.name

    def judge(self):
        """After the simulator has ended: its truth is written whole then."""
        assert self.simulator.stop() == 0
        for connection in self._of_the_killed:
            sent_file(self.simulator.truth / SENT, connection).unlink()
        with connected(self.production) as connection:
            return SimCheck(TruthReader(self.simulator.truth), ProductionRows(connection)).run()

    def assert_exact(self, *, are_all_books_heard=True):
        report = self.judge()
        found = {table.table: (table.found, table.unmatched) for table in report.tables}
        assert report.is_clean, (found, report.books, [table.examples for table in report.tables])
        assert all(found[name][0] for name in ("orderbook_deltas", "trades", "tickers")), found
        # Where production has all that happened, nothing contradicts it.
        disproved = self.rows(OPEN_FINDINGS) if are_all_books_heard else []
        assert not disproved, (len(disproved), disproved[:10])
        return report
