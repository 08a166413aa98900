"""The lake in a bucket, over HTTP, with everything that goes wrong on the way."""

from datetime import UTC, datetime, timedelta

import pytest

from app.lake.candle_days import fetched
from app.lake.glacier import raw_objects
from app.lake.s3_storage import BucketStorage, apply_lifecycle, lifecycle_differences
from app.lake.storage import ReplacedError, StorageError
from tests.lake import faulty_s3
from tests.lake.faulty_s3 import BUCKET, corrupts, fails, is_completion, is_part, is_put, is_slow

PART_BYTES = 5 << 20  # the least that S3 takes
KEY = "processed/trades/date=2026-11-01/hour=12/part-0.parquet"


@pytest.fixture(scope="module")
def running():
    with faulty_s3.faulty_s3() as server:
        yield server


@pytest.fixture
def s3(running):
    client = faulty_s3.client(running.endpoint)
    client.create_bucket(Bucket=BUCKET)
    running.faults.clear()
    yield running
    running.faults.clear()
    for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=item["Key"])


def storage_of(s3, **config):
    return BucketStorage(
        faulty_s3.client(s3.endpoint, **config), BUCKET, "v1", endpoint=s3.endpoint, part_bytes=PART_BYTES
    )


@pytest.fixture
def storage(s3):
    return storage_of(s3)


@pytest.fixture(params=[1_000, 2 * PART_BYTES + 7], ids=["at once", "in parts"])
def file(request, tmp_path):
    path = tmp_path / "object"
    path.write_bytes(bytes(range(251)) * (request.param // 251 + 1))
    return path


def test_a_key_that_leads_out_of_its_folder_is_no_file_of_this_host(storage, tmp_path):
    """A gatherer may write what it likes below its own folder, and a rebuild copies that to a disk."""
    hour = datetime(2026, 11, 1, 12, tzinfo=UTC)
    target, folder = tmp_path / "crontab", tmp_path / "fetched"
    target.write_text("ours")
    folder.mkdir()
    key = f"raw/trades/gatherer=gatherer-1a/date=2026-11-01/hour=12/{'../' * 6}crontab"
    storage.client.put_object(Bucket=BUCKET, Key=f"v1/{key}", Body=b"theirs")
    assert [each.key for each in raw_objects(storage, "trades", hour, hour + timedelta(hours=1))] == [key]
    with pytest.raises(StorageError, match="leads out of its folder"):
        list(fetched(storage, [key], folder))
    assert target.read_text() == "ours"


def unfinished_uploads(storage):
    return storage.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])


def test_an_object_comes_back_as_it_was(storage, file, tmp_path):
    storage.put_file(KEY, file, None)
    assert storage.fetch(KEY, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    assert list(storage.keys("processed")) == [KEY]
    assert storage.client.head_object(Bucket=BUCKET, Key=f"v1/{KEY}")["ServerSideEncryption"] == "AES256"


def test_what_is_not_there_is_none(storage, tmp_path):
    assert (storage.version(KEY), storage.read(KEY), storage.fetch(KEY, tmp_path / "x")) == (None, None, False)


def test_errors_that_pass_are_waited_out(s3, storage, file):
    s3.faults.append(fails(2, is_put))
    s3.faults.append(fails(1, is_completion))
    storage.put_file(KEY, file, None)
    assert storage.read(KEY) == file.read_bytes()


def test_errors_that_last_leave_nothing_behind(s3, storage, file):
    s3.faults.append(fails(100, lambda request: is_completion(request) or (is_put(request) and not is_part(request))))
    with pytest.raises(StorageError):
        storage.put_file(KEY, file, None)
    assert (storage.version(KEY), unfinished_uploads(storage)) == (None, [])


def test_an_upload_that_is_broken_off_leaves_the_old_object(s3, storage, file):
    storage.put(KEY, b"old", None)
    s3.faults.append(fails(100, is_put))
    with pytest.raises(StorageError):
        storage.put_file(KEY, file, storage.version(KEY))
    assert (storage.read(KEY), unfinished_uploads(storage)) == (b"old", [])


def test_bytes_that_change_on_the_way_are_refused(s3, storage, file):
    s3.faults.append(corrupts(1, is_put))
    with pytest.raises(StorageError, match="BadDigest"):
        storage.put_file(KEY, file, None)
    assert (storage.version(KEY), unfinished_uploads(storage)) == (None, [])


def test_a_server_that_does_not_answer_in_time_is_asked_again(s3, file):
    hasty = storage_of(s3, attempts=2, read_timeout=0.3)
    s3.faults.append(is_slow(is_put))
    with pytest.raises(StorageError):
        hasty.put_file(KEY, file, None)
    s3.faults.clear()
    hasty.put_file(KEY, file, hasty.version(KEY))
    assert hasty.read(KEY) == file.read_bytes()


def test_an_object_is_replaced_only_by_who_knows_it(storage, file):
    storage.put(KEY, b"first", None)
    known = storage.version(KEY)
    with pytest.raises(ReplacedError):
        storage.put_file(KEY, file, None)
    storage.put(KEY, b"second", known)
    with pytest.raises(ReplacedError):
        storage.put_file(KEY, file, known)
    assert storage.read(KEY) == b"second"


def test_the_bucket_is_told_what_to_do_with_old_objects(storage):
    other = {"ID": "other", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 1}}
    storage.set_lifecycle_rules([other])
    assert len(lifecycle_differences(storage)) == 3
    apply_lifecycle(storage)
    assert lifecycle_differences(storage) == []
    assert "other" in {rule["ID"] for rule in storage.lifecycle_rules()}


def test_that_it_can_be_written_is_proved_without_writing(storage):
    storage.prove_writable()
    assert list(storage.keys("")) == []
    assert unfinished_uploads(storage) == []


def test_a_bucket_that_may_not_be_written_is_told(s3, storage):
    other = BucketStorage(storage.client, "no-such-bucket", "v1", endpoint=s3.endpoint)
    with pytest.raises(StorageError, match="no-such-bucket"):
        other.prove_writable()
