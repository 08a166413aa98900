"""The archiver as a process: what a gatherer received goes to raw/, and nothing is dropped before, without anybody asking."""

import signal

from app.lake.s3_storage import BucketStorage
from app.postgres.connection import connected, value_of
from app.storage.tables import ORDERBOOK_DELTAS
from tests.faults.gathering import Running
from tests.lake import faulty_s3
from tests.lake.exporting import write
from tests.lake.faulty_s3 import BUCKET, error, is_put
from tests.lake.test_raw_on_s3 import CREDENTIALS
from tests.processes import running, wait_until
from tests.storage import rows

VERIFIED = "SELECT count(*) FROM exports WHERE verified_at IS NOT NULL AND through_ingest_id >= changed_through"


def verified(connection):
    count = value_of(connection, VERIFIED)
    connection.rollback()
    return count


def is_upload_to_raw(request):
    return "/raw/" in request.path and (is_put(request) or "uploads" in request.args)


def refuse(request):
    return error(403, "AccessDenied") if is_upload_to_raw(request) else None


def test_what_was_received_is_in_raw_once_the_bucket_takes_it(timeseries):
    write(timeseries, ORDERBOOK_DELTAS, [rows.delta(clock=number) for number in range(3)])
    with faulty_s3.faulty_s3() as s3:
        client = faulty_s3.client(s3.endpoint)
        client.create_bucket(Bucket=BUCKET)
        s3.faults.append(refuse)
        settings = {
            **CREDENTIALS,
            "KALSHI_TS_DSN": timeseries.reveal(),
            "KALSHI_GATHERER": "gatherer-1a",
            "KALSHI_LAKE": f"s3://{BUCKET}",
            "KALSHI_LAKE_S3_ENDPOINT": s3.endpoint,
            "KALSHI_LAKE_SETTLE_SECONDS": 0,
            "KALSHI_OPS_ADDRESS": "127.0.0.1:0",
        }
        with running("-m", "workers", "archiver", **settings) as process, connected(timeseries) as connection:
            archiver = Running(process)
            wait_until(lambda: "AccessDenied" in str(archiver.why_not_ready()), what="the reason")
            assert archiver.metric("kalshi_lake_behind_seconds") > 0
            s3.faults.clear()
            wait_until(lambda: verified(connection) == 1, what="the hour in raw/")
            wait_until(lambda: archiver.why_not_ready() is None, what="its readiness")
            process.signal(signal.SIGTERM)
            assert process.exit_code() == 0
        keys = list(BucketStorage(client, BUCKET, "").keys("raw"))
    assert len(keys) == 1
    assert keys[0].startswith("raw/orderbook_deltas/gatherer=gatherer-1a/date=2026-11-01/hour=12/part-")
