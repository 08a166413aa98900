"""The lake's jobs on a Spark of two executors, processes of their own, held against DuckDB's on one machine."""

import logging
import shutil

import pytest

from app.lake.archive import RawArchive
from app.lake.check import check
from app.lake.s3_storage import BucketStorage
from app.lake.spark import Place, spark_session
from app.lake.spark_check import check_on_spark
from app.lake.spark_rebuild import rebuild_on_spark
from app.postgres.databases import DatabaseKind
from app.settings import Settings
from app.storage.tables import ORDERBOOK_DELTAS
from kalshi_data.layout import HOUR
from kalshi_data.times import us_of
from tests.lake import faulty_s3
from tests.lake.exporting import write
from tests.lake.faulty_s3 import BUCKET
from tests.lake.test_raw_on_s3 import CREDENTIALS
from tests.lake.test_rebuild import export, lake, objects, period_of, rebuilt, untimed  # noqa: F401 - lake: a fixture
from tests.servers import new_database
from tests.storage import rows

# For so little data, compiling takes longer than running does.
QUICK = "-XX:TieredStopAtLevel=1"
TWO_EXECUTORS = (
    "--master local-cluster[2,1,1024] --driver-memory 512m --conf spark.sql.shuffle.partitions=2 "
    f"--driver-java-options {QUICK} --conf spark.executor.extraJavaOptions={QUICK} "
    "--conf spark.sql.codegen.wholeStage=false"
)

# Spark's own warnings, of pandas and of sockets; one of its threads would die of them.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.long]


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    if shutil.which("java") is None:
        pytest.skip("there is no java on this machine, which Spark needs")
    logging.getLogger("py4j").setLevel(logging.WARNING)  # it speaks of its end when the tests' output is closed already
    here = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patched:
        for name, value in CREDENTIALS.items():
            patched.setenv(name, value)
        patched.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patched.setenv("SPARK_WORKER_DIR", str(tmp_path_factory.mktemp("workers")))
        patched.setenv("PYSPARK_SUBMIT_ARGS", f"{TWO_EXECUTORS} pyspark-shell")
        patched.chdir(here)
        with spark_session() as session:
            yield session
        assert list(here.iterdir()) == []


@pytest.fixture
def bucket():
    """A lake in a bucket, and how executors reach it."""
    with faulty_s3.faulty_s3() as server:
        client = faulty_s3.client(server.endpoint)
        client.create_bucket(Bucket=BUCKET)
        storage = BucketStorage(client, BUCKET, "rebuilt", endpoint=server.endpoint)
        yield storage, Place.of(storage, Settings(lake_s3_endpoint=server.endpoint))


def hear_across_an_hour_s_border(server, templates, storage):
    """Two gatherers hear a change just before the border, which one of them gives the hour after it."""
    border_us = us_of(period_of(storage)[0] + HOUR)
    timed = rows.delta(at_us=border_us - 1_000, ticker="KXBORDER")
    other = rows.delta(at_us=border_us, ticker="KXBORDER", clock=2)
    for name, heard in (("c", [timed]), ("d", [untimed(ORDERBOOK_DELTAS, timed, later_us=2_000), other])):
        dsn = new_database(server, templates[DatabaseKind.TIMESERIES])
        write(dsn, ORDERBOOK_DELTAS, heard)
        export(RawArchive(dsn, storage, name))


def test_two_executors_make_the_same_bytes_as_duckdb(spark, lake, bucket, tmp_path, server, templates):  # noqa: F811
    hear_across_an_hour_s_border(server, templates, lake)
    storage, place = bucket
    done = rebuild_on_spark(spark, Place.of(lake, Settings()), place, *period_of(lake))
    found, expected = objects(storage), rebuilt(lake, tmp_path / "duckdb")
    assert found.keys() == expected.keys()
    assert sum(key.startswith("processed/orderbook_deltas") for key in found) == 2
    assert [key for key in found if found[key] != expected[key]] == []
    manifests = {key: storage.read(key) for key in storage.keys("_manifest")}
    assert manifests == {key: (tmp_path / "duckdb" / key).read_bytes() for key in manifests}
    assert len(manifests) == len(found)
    assert sum(done.values()) > 0
    assert found_by_both(spark, storage, place, period_of(lake)) == []


def found_by_both(spark, storage, place, period):
    """Return what is wrong with the lake, of which the cluster and this machine must say the same."""
    found = check_on_spark(spark, place, *period)
    assert found == check(storage, *period)
    assert found.books["equal"] > 0
    return found.wrong
