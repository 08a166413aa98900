"""A reader who has an hour open while it is written anew: of a folder he reads the old hour; of a bucket, an error."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from app.lake.layout import PROCESSED, schema_of
from app.lake.parquet import duckdb_session, write_sorted
from app.lake.reader import lake_of
from app.lake.s3_storage import BucketStorage
from app.lake.storage import FolderStorage
from tests.lake import faulty_s3
from tests.lake.faulty_s3 import BUCKET

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
TRADES = PROCESSED["trades"]
KEY = TRADES.object_key(NOON)


def hour_of_trades(folder, version, rows):
    schema = schema_of(TRADES.table)
    trades = [
        {
            "exchange_ts": NOON + timedelta(milliseconds=number),
            "received_at": NOON,
            "size_e2": 100 + version,
            "yes_price_e6": number * 7_919 % 1_000_000,
            "taker_yes": True,
            "from_rest": False,
            "ticker": f"KX-{number % 50:03}",
            "trade_id": f"{number}-{version}",
        }
        for number in range(rows)
    ]
    path = folder / f"{version}.parquet"
    with duckdb_session(folder) as session:
        session.register("made", pa.Table.from_pylist(trades, schema))
        write_sorted(session, "FROM made", schema, TRADES.identity, path)
    return path


@pytest.fixture
def versions(tmp_path):
    """The second has as many rows as the first, of the same sizes, and other values."""
    return [hour_of_trades(tmp_path, version, 20_000) for version in (1, 2)]


def rows_across_a_rewrite(storage, versions):
    """What whoever has read the footer of the first version gets after it was replaced."""
    storage.put_file(KEY, versions[0], None)
    fragment = next(lake_of(storage).dataset("trades").get_fragments())
    fragment.ensure_complete_metadata()
    storage.put_file(KEY, versions[1], storage.version(KEY))
    return set(fragment.to_table(columns=["size_e2"])["size_e2"].to_pylist())


def test_in_a_folder_whoever_opened_the_hour_reads_the_old_one(tmp_path, versions):
    storage = FolderStorage(tmp_path / "lake")
    storage.put_file(KEY, versions[0], None)
    filesystem, root = storage.filesystem()
    with filesystem.open_input_file(f"{root}/{KEY}") as opened:
        storage.put_file(KEY, versions[1], storage.version(KEY))
        assert opened.read() == versions[0].read_bytes()


def test_in_a_bucket_whoever_has_read_the_footer_gets_an_error_or_one_hour(monkeypatch, versions):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with faulty_s3.faulty_s3() as server:
        faulty_s3.client(server.endpoint).create_bucket(Bucket=BUCKET)
        storage = BucketStorage(faulty_s3.client(server.endpoint), BUCKET, "rewritten", endpoint=server.endpoint)
        try:
            found = rows_across_a_rewrite(storage, versions)
        except OSError:
            found = set()
        assert found in ({101}, {102}, set())
        again = lake_of(storage).dataset("trades").to_table(columns=["size_e2"])
        assert set(again["size_e2"].to_pylist()) == {102}
