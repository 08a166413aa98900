"""raw/ of three gatherers in a bucket: what is rebuilt of it is what production's lake has, also out of Glacier."""

import threading
from datetime import datetime, timedelta
from typing import NamedTuple

import pytest
import requests

from app.lake.archive import Archive, RawArchive
from app.lake.s3_storage import BucketStorage
from app.lake.storage import FolderStorage, InGlacierError
from app.postgres.databases import DatabaseKind
from app.postgres.dsn import Dsn
from app.runtime.threads import inline
from app.storage.tables import GATHERER_TABLES
from tests.cli_settings import invoke
from tests.lake import faulty_s3
from tests.lake.exporting import write
from tests.lake.faulty_s3 import BUCKET
from tests.lake.test_rebuild import encoded
from tests.merge.recordings import Recordings
from tests.servers import new_database
from tests.simulator.recording import Run
from tests.storage import rows
from workers.exporter import Exporter

NAMES = ("gatherer-1a", "gatherer-1b", "gatherer-1c")
AT_ONCE = -1e9
MOST_STEPS = 200
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Recorded(NamedTuple):
    """A lake in a bucket with what three gatherers received, and what came of it in production."""

    storage: BucketStorage
    settings: dict[str, str]
    endpoint: str
    gatherers: dict[str, Dsn]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, server, templates):
    run = Run(tmp_path_factory.mktemp("truth"), markets=20, rate=200).record_books(range(20)).advance(15)
    run.record_everything()
    gatherers = {name: new_database(server, templates[DatabaseKind.TIMESERIES]) for name in NAMES}
    production = new_database(server, templates[DatabaseKind.PRODUCTION])
    for position, dsn in enumerate(gatherers.values()):
        for table in GATHERER_TABLES:
            # Each lost another third of it.
            heard = [row for number, row in enumerate(run.rows[table.name]) if number % 3 != position]
            write(dsn, table, [(*encoded(table, row), *rows.lineage(table)) for row in heard])
    for table in GATHERER_TABLES:
        recordings = Recordings(table.name, gatherers, production)
        recordings.catch_up()
        recordings.close()
    run.truth.close()
    with faulty_s3.faulty_s3() as s3:
        client = faulty_s3.client(s3.endpoint)
        client.create_bucket(Bucket=BUCKET)
        storage = BucketStorage(client, BUCKET, "v1", endpoint=s3.endpoint)
        bring(Archive(production, storage))
        for name, dsn in gatherers.items():
            bring(RawArchive(dsn, storage, name))
        lake = {"KALSHI_LAKE": storage.location, "KALSHI_LAKE_S3_ENDPOINT": s3.endpoint}
        yield Recorded(storage, {**CREDENTIALS, **lake}, s3.endpoint, gatherers)


def bring(archive):
    """As the process does, until there is nothing left to do."""
    exporter = Exporter(archive, AT_ONCE, inline, threading.Event())
    steps = 0
    while exporter.step():
        steps += 1
        assert steps < MOST_STEPS
    assert exporter.why_not_ready() is None


@pytest.fixture
def times(recorded):
    """From when to when there are rows."""
    keys = [key for key in recorded.storage.keys("raw") if key.endswith(".parquet")]
    hours = [datetime.fromisoformat(f"{key.split('date=')[1][:10]}T{key.split('hour=')[1][:2]}:00:00Z") for key in keys]
    first, end = min(hours), max(hours) + timedelta(hours=1)
    return ["--from", f"{first:%Y-%m-%dT%H:%MZ}", "--to", f"{end:%Y-%m-%dT%H:%MZ}"]


def raw_keys(storage):
    return list(storage.keys("raw"))


def events(storage):
    """All there is of merged data, by object."""
    keys = [key for folder in ("processed", "aggregates") for key in storage.keys(folder)]
    return {key: storage.read(key) for key in keys}


def test_each_gatherer_s_tables_are_there_with_a_manifest_for_each_object(recorded):
    keys = raw_keys(recorded.storage)
    assert {(key.split("/")[1], key.split("/")[2]) for key in keys} == {
        (table.name, f"gatherer={name}") for table in GATHERER_TABLES for name in NAMES
    }
    manifests = {key.removeprefix("_manifest/").removesuffix(".json") for key in recorded.storage.keys("_manifest/raw")}
    assert manifests == {key.removesuffix(".parquet") for key in keys}


def test_what_is_rebuilt_of_all_gatherers_is_what_production_s_lake_has(recorded, times, tmp_path):
    into = FolderStorage(tmp_path / "rebuilt")
    done = invoke(recorded.settings, "lake", "rebuild", *times, "--into", into.location)
    assert done.exit_code == 0, done.output
    rebuilt, expected = events(into), events(recorded.storage)
    assert len(expected) > len(GATHERER_TABLES)
    assert rebuilt.keys() == expected.keys()
    assert [key for key in rebuilt if rebuilt[key] != expected[key]] == []


@pytest.fixture
def in_glacier(recorded):
    """Of one gatherer everything was moved there."""
    moved = [key for key in raw_keys(recorded.storage) if f"gatherer={NAMES[0]}" in key]
    put_in_class(recorded.storage, moved, "GLACIER")
    yield moved
    put_in_class(recorded.storage, moved, "STANDARD")


def put_in_class(storage, keys, storage_class):
    for key in keys:
        where = {"Bucket": BUCKET, "Key": f"{storage.prefix}/{key}"}
        content = storage.client.get_object(**where)["Body"].read() if storage_class == "GLACIER" else None
        if content is None:
            storage.client.restore_object(**where, RestoreRequest={"Days": 1})
            storage.client.head_object(**where)
            content = storage.client.get_object(**where)["Body"].read()
        storage.client.put_object(**where, Body=content, StorageClass=storage_class)


@pytest.fixture
def slow_restoring(recorded):
    """Copies are there when S3 has been asked for their state twice."""
    states = f"{recorded.endpoint}/moto-api/state-manager"
    model = {"model_name": "s3::keyrestore"}
    slow = {**model, "transition": {"progression": "manual", "times": 2}}
    requests.post(f"{states}/set-transition", json=slow, timeout=10).raise_for_status()
    yield
    requests.post(f"{states}/unset-transition", json=model, timeout=10).raise_for_status()


def test_a_rebuild_that_needs_glacier_says_what_to_run_and_makes_nothing(recorded, times, in_glacier, tmp_path):
    done = invoke(recorded.settings, "lake", "rebuild", *times, "--into", str(tmp_path / "rebuilt"))
    refusal = str(done.exception)
    assert f"{len(in_glacier)} objects of raw/ cannot be read yet." in refusal
    assert f"kalshi-data lake restore --from {times[1][:-1]}:00Z" in refusal
    assert events(FolderStorage(tmp_path / "rebuilt")) == {}


def test_what_was_restored_from_glacier_is_rebuilt(recorded, times, in_glacier, slow_restoring, tmp_path):
    def restore(*options):
        return invoke(recorded.settings, "lake", "restore", *times, *options)

    count = len(in_glacier)
    assert "Some objects of raw/ cannot be read yet" in str(restore("--check").exception)
    asked = restore("--days", "3", "--tier", "Bulk")
    assert asked.exit_code == 0, asked.output
    assert f"{count} objects, " in line_of(asked, "is in Glacier")
    assert f"requested the restore of {count} objects, for 3 days" in asked.output
    pending = restore()
    assert line_of(pending, "is being restored").startswith(f"{count} objects")
    assert "requested the restore" not in pending.output
    done = restore("--check")
    assert (done.exit_code, line_of(done, "is being restored")) == (0, "0 objects, 0.0 MB: is being restored")
    rebuilt = invoke(recorded.settings, "lake", "rebuild", *times, "--into", str(tmp_path / "rebuilt"))
    assert rebuilt.exit_code == 0, rebuilt.output
    assert events(FolderStorage(tmp_path / "rebuilt")) == events(recorded.storage)


def line_of(done, text):
    return next(line for line in done.output.splitlines() if text in line)


def test_what_is_asked_for_is_what_the_rebuild_reads_and_no_more(recorded, times, in_glacier):
    later = datetime.fromisoformat(times[3]) + timedelta(days=1)
    done = invoke(
        recorded.settings, "lake", "restore", "--from", f"{later:%Y-%m-%dT%H:%MZ}", "--to", f"{later:%Y-%m-%dT23:59Z}"
    )
    assert "There is nothing to restore." in str(done.exception)


def test_whoever_reads_what_is_in_glacier_is_told_what_to_run(recorded, in_glacier):
    with pytest.raises(InGlacierError, match="kalshi-data lake restore"):
        recorded.storage.read(in_glacier[0])


def test_verify_leaves_what_is_in_glacier_alone(recorded, in_glacier):
    name, dsn = next(iter(recorded.gatherers.items()))
    of_gatherer = {"KALSHI_TS_DSN": dsn.reveal(), "KALSHI_GATHERER": name}
    done = invoke({**recorded.settings, **of_gatherer}, "verify", "--raw")
    assert (done.exit_code, f"{len(in_glacier)} hours: in Glacier: not read" in done.output) == (0, True), done.output


def test_a_folder_has_nothing_to_restore(tmp_path):
    settings = {"KALSHI_LAKE": str(tmp_path)}
    done = invoke(settings, "lake", "restore", "--from", "2026-11-01T00:00Z", "--to", "2026-11-02T00:00Z")
    assert "A lake in a folder has nothing in Glacier" in str(done.exception)
