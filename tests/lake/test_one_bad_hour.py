"""An object that cannot be read, or a day that cannot be made, holds up no other, and ends no process."""

import threading
from datetime import UTC, datetime

import pytest

from app.lake.archive import Archive
from app.lake.layout import PROCESSED
from app.lake.reader import book_at, lake_of
from app.lake.s3_storage import BucketStorage
from app.lake.storage import FolderStorage, StorageError
from app.runtime.threads import inline
from app.storage.tables import PRODUCTION_ORDERBOOK_DELTAS, PRODUCTION_TRADES
from tests.gatherers import execute
from tests.lake import faulty_s3
from tests.lake.exporting import write
from tests.lake.faulty_s3 import BUCKET, error
from workers.exporter import Exporter

NOON_US = 1_793_534_400_000_000
HOUR_US = 3_600_000_000
EXPORTS = """
    SELECT table_name, extract(hour FROM hour)::INTEGER, verified_at IS NOT NULL, failures FROM exports
    WHERE (manifest <> '' OR failures > 0) AND table_name IN ('orderbook_deltas', 'trades') ORDER BY 1, 2
"""


def delta(number, at_us=NOON_US):
    return (at_us + number * 1_000, at_us, number, 100, 500_000, 0, True, False, False, "KX")


def trade(number, at_us=NOON_US):
    return (at_us + number * 1_000, at_us, 100, 500_000, True, None, False, "KX", f"id-{number}")


@pytest.fixture
def s3(monkeypatch):
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    with faulty_s3.faulty_s3() as server:
        faulty_s3.client(server.endpoint).create_bucket(Bucket=BUCKET)
        yield server


@pytest.fixture
def bucket(s3):
    return BucketStorage(faulty_s3.client(s3.endpoint, read_timeout=2), BUCKET, "v1", endpoint=s3.endpoint)


@pytest.fixture
def exporter(production, bucket):
    return Exporter(Archive(production, bucket), -1e9, inline, threading.Event())


def work(exporter, most_steps=30):
    for _ in range(most_steps):
        if not exporter.step():
            return


def refuse(path):
    """Whatever is read whose key has this."""
    return lambda request: error(403, "AccessDenied") if request.method == "GET" and path in request.path else None


def test_an_hour_that_cannot_be_read_holds_up_neither_later_ones_nor_other_tables(production, exporter, s3):
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(1)])
    work(exporter)
    execute(
        production,
        "UPDATE chunked_tables SET dropped_through = '2026-11-01 13:00Z' WHERE table_name = 'orderbook_deltas'",
    )
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(2), delta(3, NOON_US + 2 * HOUR_US)])
    write(production, PRODUCTION_TRADES, [trade(1)])
    s3.faults.append(refuse("processed/orderbook_deltas/date=2026-11-01/hour=12"))
    work(exporter)
    assert exporter.why_not_ready() is None
    assert execute(production, EXPORTS) == [
        ("orderbook_deltas", 12, False, 1),
        ("orderbook_deltas", 14, True, 0),
        ("trades", 12, True, 0),
    ]
    assert "AccessDenied" in execute(production, "SELECT failure FROM exports WHERE failures > 0")[0][0]
    work(exporter)
    assert execute(production, "SELECT max(failures) FROM exports") == [(1,)]  # not before its time
    s3.faults.clear()
    execute(production, "UPDATE exports SET retry_at = now() WHERE retry_at IS NOT NULL")
    work(exporter)
    assert ("orderbook_deltas", 12, True, 0) in execute(production, EXPORTS)


def test_each_failure_doubles_the_wait_up_to_a_quarter_of_an_hour(production, bucket):
    write(production, PRODUCTION_TRADES, [trade(1)])
    dataset = PROCESSED["trades"]
    waits = []
    with Archive(production, bucket).opened() as opened:
        opened.survey(dataset)
        (unfinished,) = opened.ledger.unfinished(dataset, -1e9)
        for _ in range(8):
            opened.ledger.failed(dataset, unfinished.hour, "broken on purpose")
            ((wait,),) = execute(production, "SELECT round(extract(epoch FROM retry_at - changed_at)) FROM exports")
            waits.append(wait)
        assert opened.ledger.unfinished(dataset, -1e9) == []
        assert opened.ledger.backlog(dataset, -1e9).failing_hours == 1
    assert waits == sorted(waits)
    assert 30 <= waits[0] < 60
    assert 800 < waits[-1] < 1_000


def test_a_day_of_candles_that_cannot_be_made_is_tried_again_later_and_other_days_are_made(production, exporter, s3):
    write(production, PRODUCTION_TRADES, [trade(1), trade(2, NOON_US + 24 * HOUR_US)])
    s3.faults.append(
        lambda request: (
            error(403, "AccessDenied")
            if request.method == "PUT" and "interval=1h/date=2026-11-01" in request.path
            else None
        )
    )
    work(exporter)
    made = (
        "SELECT hour::DATE::TEXT, verified_at IS NOT NULL, failures FROM exports WHERE table_name = 'ohlcv' ORDER BY 1"
    )
    assert execute(production, made) == [("2026-11-01", False, 1), ("2026-11-02", True, 0)]
    s3.faults.clear()
    execute(production, "UPDATE exports SET retry_at = now() WHERE retry_at IS NOT NULL")
    work(exporter)
    assert execute(production, made) == [("2026-11-01", True, 0), ("2026-11-02", True, 0)]


def test_a_truncated_object_is_an_error_of_the_storage_to_whoever_reads_it(production, tmp_path):
    write(production, PRODUCTION_TRADES, [trade(1)])
    storage, dataset = FolderStorage(tmp_path / "lake"), PROCESSED["trades"]
    archive = Archive(production, storage)
    while archive.step(dataset, -1e9):
        continue
    (key,) = [key for key in storage.keys("processed") if key.endswith(".parquet")]
    content = storage.read(key)
    storage.put(key, content[: len(content) // 2], storage.version(key))
    assert archive.make_candles()
    failed = execute(production, "SELECT failure FROM exports WHERE table_name = 'ohlcv'")
    assert "Candles of 2026-11-01" in failed[0][0]


def test_a_listing_that_is_refused_is_an_error_of_the_storage(bucket, s3):
    s3.faults.append(lambda request: error(403, "AccessDenied") if "list-type" in request.args else None)
    with pytest.raises(StorageError, match="refused a request"):
        list(bucket.keys("processed"))


def test_a_book_whose_objects_cannot_be_read_is_an_error_of_the_storage(tmp_path):
    storage = FolderStorage(tmp_path / "lake")
    storage.put("processed/orderbook_snapshots/date=2026-11-01/hour=12/part-0.parquet", b"no Parquet", None)
    with pytest.raises(StorageError):
        book_at(lake_of(storage), "KX", datetime(2026, 11, 1, 13, tzinfo=UTC))


def test_an_hour_that_is_not_as_it_was_written_is_written_again_and_not_in_every_round(production, exporter, bucket):
    write(production, PRODUCTION_TRADES, [trade(1)])
    dataset = PROCESSED["trades"]
    archive = Archive(production, bucket)
    assert archive.step(dataset, -1e9)
    (hour,) = [row[0] for row in execute(production, "SELECT hour FROM exports WHERE table_name = 'trades'")]
    bucket.put(dataset.object_key(hour), b"broken", bucket.version(dataset.object_key(hour)))
    assert not archive.step(dataset, -1e9)
    state = "SELECT through_ingest_id, failures, retry_at > now() FROM exports WHERE table_name = 'trades'"
    assert execute(production, state) == [(0, 1, True)]
    assert not archive.step(dataset, -1e9)
    execute(production, "UPDATE exports SET retry_at = now()")
    work(exporter)
    assert ("trades", 12, True, 0) in execute(production, EXPORTS)
