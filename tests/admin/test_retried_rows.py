"""Rows from quarantine are merged as a gatherer's rows are, while others read and write the table."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg2
import pytest

from admin.api import operations
from app.lake.ledger import survey
from app.postgres.connection import connected
from app.storage.arrivals import arrivals_session
from app.storage.tables import PRODUCTION_ORDERBOOK_DELTAS, PRODUCTION_TRADES
from app.storage.writer import CopyWriter
from tests.gatherers import execute
from tests.lake.exporting import write

NOON_US = 1_793_534_400_000_000


def trade(number, at_us=NOON_US, from_rest=False):
    return (at_us, at_us, 100, 500_000, True, None, from_rest, "KX", f"id-{number}")


def put_aside(production, table, row):
    values = dict(zip(table.column_names, row, strict=True))
    for name in ("exchange_ts", "received_at"):
        values[name] = datetime.fromtimestamp(values[name] / 1e6, UTC).isoformat()
    ((quarantine_id,),) = execute(
        production,
        "INSERT INTO quarantine (table_name, reason, payload) VALUES (%s, 'a chunk was missing', %s) RETURNING quarantine_id",
        (table.name, json.dumps(values).encode()),
    )
    return quarantine_id


def retry(production, quarantine_id):
    with connected(production) as connection, connection, connection.cursor() as cursor:
        return operations.retry(cursor, quarantine_id)


@contextmanager
def retried_but_not_committed(production, quarantine_id):
    with connected(production) as connection, connection.cursor() as cursor:
        assert operations.retry(cursor, quarantine_id) == {"stored": True}
        yield connection


def test_whoever_writes_the_table_waits_until_a_retried_row_is_committed(production):
    write(production, PRODUCTION_TRADES, [trade(1)])
    with (
        retried_but_not_committed(production, put_aside(production, PRODUCTION_TRADES, trade(2))) as retrying,
        connected(production) as writing,
        writing.cursor() as cursor,
    ):
        lock = "SELECT pg_advisory_xact_lock(hashtextextended('writing trades', 0))"
        cursor.execute("SET lock_timeout = '200ms'")
        writing.commit()
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            cursor.execute(lock)
        writing.rollback()
        retrying.commit()
        cursor.execute(lock)
    with arrivals_session(production, "test") as session:
        seen = survey(session, PRODUCTION_TRADES, after_ingest_id=1).through_ingest_id
    assert [(seen,)] == execute(production, "SELECT ingest_id FROM trades WHERE trade_id = 'id-2'")


def test_a_retried_trade_with_a_better_time_takes_the_place_of_the_one_that_is_there(production):
    write(production, PRODUCTION_TRADES, [trade(1)])
    hour = datetime.fromtimestamp(NOON_US / 1e6, UTC)
    execute(
        production,
        "INSERT INTO exports (table_name, hour, through_ingest_id, row_count, manifest, verified_at) "
        "VALUES ('trades', %s, 1, 1, 'a manifest', now())",
        (hour,),
    )
    better = put_aside(production, PRODUCTION_TRADES, trade(1, NOON_US + 123_000, from_rest=True))
    retry(production, better)
    assert execute(production, "SELECT exchange_ts, from_rest FROM trades") == [
        (hour.replace(microsecond=123_000), False)
    ]
    assert execute(production, "SELECT through_ingest_id, verified_at FROM exports") == [(0, None)]


def test_a_retried_change_that_was_heard_whole_takes_the_doubt_from_the_one_that_is_there(production):
    doubted = (NOON_US, NOON_US, 1, 100, 500_000, 0, True, True, False, "KX")
    CopyWriter(PRODUCTION_ORDERBOOK_DELTAS, production).write([doubted])
    whole = put_aside(production, PRODUCTION_ORDERBOOK_DELTAS, (*doubted[:7], False, *doubted[8:]))
    assert retry(production, whole) == {"stored": False}
    assert execute(production, "SELECT after_gap FROM orderbook_deltas") == [(False,)]
