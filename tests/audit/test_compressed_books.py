"""The audit over compressed chunks of production, on a server that has TimescaleDB."""

from datetime import timedelta

import psycopg2.extensions
import pytest

from app.audit.audit import audit_new
from app.audit.pairs import ARRIVED
from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.storage.arrivals import TOUCH_LOCK
from app.storage.confirmation import lake_has_it
from app.storage.retention import maintain
from app.storage.tables import PRODUCTION_ORDERBOOK_DELTAS, PRODUCTION_ORDERBOOK_SNAPSHOTS
from app.storage.writer import CopyWriter
from tests.gatherers import execute
from tests.storage import rows
from tests.storage.test_retention import NOON, PLENTY_BYTES
from tests.timescaledb import compressing_database

DAY_US = 24 * 3_600_000_000
DAYS = 4
LATER = NOON + timedelta(days=30)
PATIENCE = timedelta(minutes=10)


@pytest.fixture
def production(timescaledb):
    return compressing_database(timescaledb, DatabaseKind.PRODUCTION)


@pytest.fixture
def write(production):
    writers = [CopyWriter(table, production) for table in (PRODUCTION_ORDERBOOK_SNAPSHOTS, PRODUCTION_ORDERBOOK_DELTAS)]

    def write(snapshots=(), deltas=()):
        for writer, written in zip(writers, (snapshots, deltas), strict=True):
            writer.write(list(written))

    yield write
    for writer in writers:
        writer.close()


@pytest.fixture
def days(write):
    """Each of them begins with a book, and has one change."""
    write([snapshot(day) for day in range(DAYS)], [delta(day + 0.5) for day in range(DAYS)])


def snapshot(day, more=0):
    """The book that days has made by then, and one more level."""
    levels = [(400_000, more), (500_000, 100 * int(day + 0.5))]
    there = [level for level in levels if level[1]]
    return rows.snapshot(rows.NOON_US + int(day * DAY_US), "KXTEST-1", int(day * 10), there, lineage=())


def delta(day, ticker="KXTEST-1", price_e6=500_000):
    return rows.delta(rows.NOON_US + int(day * DAY_US), ticker, int(day * 10), 100, price_e6, lineage=())


def compress(production):
    with connected(production) as connection:
        return maintain(connection, lake_has_it, PLENTY_BYTES, LATER).compressed


def look(production, cursor_factory=psycopg2.extensions.cursor):
    with connected(production) as connection:
        connection.cursor_factory = cursor_factory
        audited = audit_new(connection, LATER, PATIENCE)
    return {verdict.value: count for verdict, count in audited.verdicts.items()}


class Explaining(psycopg2.extensions.cursor):
    """Remembers the plan of the look for new snapshots, as it is made there."""

    plans: list[str] = []  # noqa: RUF012 - one for all cursors

    def execute(self, query, parameters=None):
        if query is ARRIVED:
            super().execute(f"EXPLAIN {query}", parameters)
            self.plans.append(str(self.fetchall()))
        return super().execute(query, parameters)


def test_a_book_is_compared_with_the_compressed_one_before_it(production, write, days):
    assert compress(production) == 2 * (DAYS - 1)
    assert look(production) == {"equal": DAYS - 1}
    write([snapshot(DAYS)])
    assert look(production) == {"equal": 1}


def test_a_look_beyond_all_compressed_books_opens_none(production, write, days):
    Explaining.plans.clear()
    compress(production)
    look(production, Explaining)
    write([snapshot(DAYS)])
    assert look(production, Explaining) == {"equal": 1}
    behind, beyond = Explaining.plans
    assert "ColumnarScan" in behind
    assert "ColumnarScan" not in beyond


def test_a_book_of_a_compressed_day_that_comes_late_is_compared_too(production, write, days):
    compress(production)
    look(production)
    write([snapshot(1.7)])
    assert look(production) == {"equal": 1}


def test_changes_that_are_compressed_anew_meanwhile_are_not_missed(production, write, days):
    """Rows that waited beside a compressed chunk are not seen by who began to look before they were compressed too."""
    compress(production)
    look(production)
    late = [delta(1.6 + part / 10_000, f"KXLATE-{part}") for part in range(2_000)]
    write([snapshot(1.7, more=100)], [*late, delta(1.6, price_e6=400_000), delta(DAYS)])
    compressed = []

    class Interrupted(psycopg2.extensions.cursor):
        def execute(self, query, parameters=None):
            super().execute(query, parameters)
            if query is TOUCH_LOCK and not compressed:
                compressed.append(compress(production))

    verdicts = look(production, Interrupted)
    assert compressed[0] > 0
    assert verdicts in ({}, {"equal": 1})
    assert look(production) == ({} if verdicts else {"equal": 1})
    assert execute(production, "SELECT count(*) FROM audit_findings") == [(0,)]
