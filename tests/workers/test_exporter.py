"""The exporter as a process: hours go to the lake, are read back, and candles are made, without anybody asking."""

from app.lake.storage import FolderStorage
from app.postgres.connection import connected, value_of
from app.storage.tables import PRODUCTION_ORDERBOOK_DELTAS
from tests.lake.exporting import write
from tests.processes import running, wait_until
from tests.storage import rows

VERIFIED = "SELECT count(*) FROM exports WHERE verified_at IS NOT NULL AND through_ingest_id >= changed_through AND table_name = 'orderbook_deltas'"


def verified(connection):
    count = value_of(connection, VERIFIED)
    connection.rollback()
    return count


def test_what_has_settled_is_exported_and_verified(production, tmp_path):
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [rows.delta(clock=number, lineage=()) for number in range(3)])
    settings = {
        "KALSHI_PRODUCTION_DSN": production.reveal(),
        "KALSHI_LAKE": tmp_path / "lake",
        "KALSHI_LAKE_SETTLE_SECONDS": 0,
    }
    with running("-m", "workers", "exporter", **settings) as process, connected(production) as connection:
        wait_until(lambda: verified(connection) == 1)
        assert list(FolderStorage(tmp_path / "lake").keys("processed"))
        process.signal(15)
        assert process.exit_code() == 0
