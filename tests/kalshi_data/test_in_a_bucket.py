"""The same lake in a bucket, over HTTP, through the library's own S3 client."""

import pytest

import kalshi_data as kd
from tests.kalshi_data.conftest import HOLE
from tests.kalshi_data.lakes import TICKER, at
from tests.lake import faulty_s3

BUCKET = "kalshi-library"  # its own: the buckets of all servers in a process are the same


@pytest.fixture(scope="module")
def bucket(folder):
    with faulty_s3.faulty_s3() as server, pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        client = faulty_s3.client(server.endpoint)
        client.create_bucket(Bucket=BUCKET)
        for path in sorted(folder.rglob("*.parquet")):
            client.upload_file(str(path), BUCKET, f"v1/{path.relative_to(folder)}")
        yield server


@pytest.fixture
def in_bucket(bucket):
    return kd.open(f"s3://{BUCKET}/v1", endpoint=bucket.endpoint)


def test_records_are_those_of_the_folder(in_bucket, lake):
    for name in (None, "KXBTC", TICKER):
        assert in_bucket.trades(name).to_arrow() == lake.trades(name).to_arrow()
    assert in_bucket.book_changes(TICKER).coverage == lake.book_changes(TICKER).coverage
    assert in_bucket.markets().to_arrow() == lake.markets().to_arrow()


def test_books_are_those_of_the_folder(in_bucket, lake):
    assert in_bucket.book(TICKER, at=at(3)) == lake.book(TICKER, at=at(3))
    assert list(in_bucket.replay(TICKER, every="5s")) == list(lake.replay(TICKER, every="5s"))
    assert HOLE in [hole for book in in_bucket.replay(TICKER) for hole in book.reset_by]


def test_the_endpoint_may_come_from_the_environment(bucket, lake, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.endpoint)
    assert kd.open(f"s3://{BUCKET}/v1/").trades().to_arrow() == lake.trades().to_arrow()


@pytest.mark.parametrize("where", [f"s3://{BUCKET}/nothing", "s3://another-bucket/v1"])
def test_a_bucket_without_a_lake_is_an_error(where, bucket):
    with pytest.raises(kd.LakeError):
        kd.open(where, endpoint=bucket.endpoint)


def test_an_error_of_the_bucket_is_an_error_of_the_library(bucket, in_bucket):
    bucket.faults.append(lambda request: faulty_s3.error(403, "AccessDenied") if "list-type" in request.args else None)
    try:
        with pytest.raises(kd.LakeError, match="cannot be read"):
            in_bucket.trades().to_arrow()
    finally:
        bucket.faults.clear()
