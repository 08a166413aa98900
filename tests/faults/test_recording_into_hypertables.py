"""The whole path on a server that has TimescaleDB, with chunks of seconds: while gatherers record and the deduplicator
reads, maintainers compress chunks and drop them. tests/timescaledb.py says which server that is."""

import contextlib
import signal

import pytest

from app.postgres.connection import connected
from tests.faults.gathering import exchange, let_pass
from tests.faults.platform import Platform
from tests.harness.database import templates_of
from tests.processes import running, wait_until
from tests.timescaledb import skip_unless_it_compresses

NAMES = ("one", "two")
CHUNK_SECONDS = 5
KEPT_SECONDS = 20
AWAY_SECONDS = KEPT_SECONDS + 2 * CHUNK_SECONDS
COMPRESSED_CHUNKS = 3
BUSY = ["orderbook_deltas", "tickers"]
SHORT_CHUNKS = f"""
    SELECT set_chunk_time_interval(table_name::REGCLASS, INTERVAL '{CHUNK_SECONDS} seconds') FROM chunked_tables
"""
COMPRESSED_SOON = f"UPDATE chunked_tables SET compress_read_after = '{CHUNK_SECONDS} seconds'"
DROPPED_SOON = f"UPDATE chunked_tables SET keep_for = '{KEPT_SECONDS} seconds' WHERE table_name = ANY(%s)"
COMPRESSED = "SELECT count(*) FROM chunked_tables, chunks(table_name) AS chunk WHERE chunk.is_compressed"
HAS_DROPPED = "SELECT bool_and(dropped_through > %s) FROM chunked_tables WHERE table_name = ANY(%s)"
CONFIRMED = "SELECT ingest_id FROM confirmations WHERE table_name = 'orderbook_deltas'"
NEWEST = "SELECT max(ingest_id) FROM orderbook_deltas"
HELD = "SELECT count(*) FROM orderbook_deltas WHERE ingest_id > %s AND ingest_id <= %s"


class PlatformOfTwo(Platform):
    """On hypertables with short chunks of short lives."""

    def __init__(self, server, simulator, folder):
        super().__init__(server, templates_of(server), simulator, folder)
        self.databases = {name: self.databases[name] for name in NAMES}
        hasten(self.production, SHORT_CHUNKS, COMPRESSED_SOON)
        for each in self.databases.values():
            hasten(each.timeseries, SHORT_CHUNKS, COMPRESSED_SOON, (DROPPED_SOON, (BUSY,)))

    @contextlib.contextmanager
    def maintainers(self):
        """A process at each gatherer, and one for production."""
        whose = [{"KALSHI_TS_DSN": each.timeseries.reveal()} for each in self.databases.values()]
        whose.append({"KALSHI_PRODUCTION_DSN": self.production.reveal()})
        others = {"KALSHI_OPS_ADDRESS": "127.0.0.1:0", "KALSHI_MAINTENANCE_SECONDS": 1}
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(running("-m", "workers", "maintainer", **others, **each)) for each in whose]

    def at_gatherers(self, query, **parameters):
        """What the query finds at each of them."""
        return {name: each.value(query, *parameters.get(name, ())) for name, each in self.databases.items()}

    def wait_until_compressed(self):
        def fewest():
            return min(self.value(COMPRESSED), *self.at_gatherers(COMPRESSED).values())

        wait_until(lambda: fewest() >= COMPRESSED_CHUNKS, what="compressed chunks in each database")

    def wait_until_dropped(self, **since):
        """All that each gatherer has recorded of the busy tables by its time of these."""
        parameters = {name: (since.get(name, "-infinity"), BUSY) for name in NAMES}
        wait_until(
            lambda: all(self.at_gatherers(HAS_DROPPED, **parameters).values()), what=f"no chunks from before {since}"
        )


def hasten(database, *statements):
    with connected(database) as connection, connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(*((statement,) if isinstance(statement, str) else statement))


@pytest.fixture
def platform(timescaledb, tmp_path):
    with exchange(tmp_path, "--rate", 100, "--heartbeat", 2) as simulator:
        platform = PlatformOfTwo(timescaledb, simulator, tmp_path)
        skip_unless_it_compresses(platform.production)
        yield platform


def test_with_chunks_compressed_and_dropped_meanwhile_it_is_recorded_and_merged_exactly(platform):
    with platform.gatherers(*NAMES) as recorders, platform.maintainers() as maintainers:
        with platform.deduplicator() as deduplicator:
            deduplicator.wait_until_ready()
            platform.wait_until_compressed()
            platform.wait_until_dropped()
            deduplicator.kill()
        confirmed, newest = platform.at_gatherers(CONFIRMED), platform.at_gatherers(NEWEST)
        unread = {name: (confirmed[name], newest[name]) for name in NAMES}
        held = platform.at_gatherers(HELD, **unread)
        assert all(held.values()), held
        let_pass(platform.simulator, AWAY_SECONDS)
        for maintainer in maintainers[: len(NAMES)]:
            maintainer.wait_for("expired chunks kept: not confirmed elsewhere")
        assert platform.at_gatherers(HELD, **unread) == held
        back = platform.at_gatherers("SELECT now()")
        with platform.deduplicator() as deduplicator:
            platform.wait_until_dropped(**back)
            platform.wait_until_audited()
            for maintainer in maintainers:
                maintainer.signal(signal.SIGTERM)
                assert maintainer.exit_code() == 0
            platform.finish(recorders, deduplicator)
    report = platform.assert_exact()
    assert report.books.compared > 0
    assert platform.value("SELECT count(*) FROM quarantine") == 0
    assert platform.value(COMPRESSED) >= COMPRESSED_CHUNKS
