from datetime import UTC, datetime, timedelta

from pyarrow import parquet

from app.lake.dataset import PROCESSED
from app.lake.verifier import Verdict
from app.store.tables import PRODUCTION_ORDERBOOK_DELTAS
from tests.lake.exporting import export_all, write
from tests.store import rows

DELTAS = PROCESSED["orderbook_deltas"]
NOON = datetime.fromtimestamp(rows.NOON_US / 1e6, UTC)
HOUR = timedelta(hours=1)
HOUR_US = 3_600_000_000


def delta(**values):
    return rows.delta(lineage=(), **values)


def test_an_hour_lies_sorted_by_ticker_and_time_in_one_file(production, exporter, ledger, storage):
    deltas = [delta(ticker=f"KX-{number % 3}", at_us=rows.NOON_US - number, clock=number) for number in range(9)]
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [*deltas, delta(at_us=rows.NOON_US + HOUR_US)])
    export_all(exporter, ledger)
    files = sorted(storage.keys("processed"))
    assert files == [f"processed/orderbook_deltas/date=2026-11-01/hour={hour}/part-0.parquet" for hour in (11, 12, 13)]
    table = parquet.read_table(storage.folder / files[0], partitioning=None)
    found = list(zip(table["ticker"].to_pylist(), table["exchange_ts"].to_pylist(), strict=True))
    assert found == sorted(found)
    assert len(found) == 8


def test_what_was_exported_is_verified(production, exporter, verifier, ledger):
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(clock=number) for number in range(10)])
    export_all(exporter, ledger)
    assert verifier.verify(DELTAS, NOON) == (Verdict.SAME, 10, "")
    assert ledger.unfinished(DELTAS, 0) is None
