"""Figures of finished days outlast their evidence, are computed again when more is learnt, and reach the lake."""

import json
from datetime import timedelta

import msgspec
import pytest

from app.coverage.evidence import BOOKS, TRADES
from app.coverage.retention import forget
from app.lake.archive import Archive
from app.lake.quality_reports import report_key
from app.lake.storage import FolderStorage
from app.postgres.connection import connected
from app.report.days import keep_next_day, report_of
from app.report.figures import PeriodFigures
from app.status.readings import asked_over
from kalshi_data.layout import day_of
from tests.coverage.conftest import coverage as coverage  # noqa: PLC0414 - a fixture
from tests.gatherers import NOON, at, execute, put_market

DAY = day_of(NOON)


@pytest.fixture
def finished(coverage):
    """A day with an outage of ten minutes."""
    put_market(coverage.production, "KX")
    coverage.gatherers[0].runs(0, 60).listens_to_all(tickers=["KX"]).misses(10, 20).misses(30, 31, conn=3)
    coverage.judge(61)
    return coverage


def keep(dsn):
    with connected(dsn) as connection:
        return keep_next_day(asked_over(connection), connection)


def let_an_hour_pass(dsn):
    execute(dsn, "UPDATE quality_days SET computed_at = computed_at - INTERVAL '1 hour 1 second'")


def figures(dsn):
    with connected(dsn) as connection:
        return report_of(asked_over(connection), DAY, DAY + timedelta(days=1)).total


def forget_books(dsn):
    execute(dsn, "UPDATE chunked_tables SET keep_for = INTERVAL '1 day' WHERE table_name = 'orderbook_deltas'")
    with connected(dsn) as connection:
        assert forget(connection, at(60 * 24 * 10))


def test_a_finished_day_is_computed_once(finished):
    assert keep(finished.production) == DAY
    assert keep(finished.production) is None


def test_it_is_computed_again_when_more_is_learnt(finished):
    keep(finished.production)
    finished.gatherers[1].runs(0, 60).listens_to_all(tickers=["KX"])
    finished.judge(61)
    # Until it is, the report does not repeat what was kept.
    assert figures(finished.production).channel(BOOKS).share == 1
    assert keep(finished.production) is None
    let_an_hour_pass(finished.production)
    assert keep(finished.production) == DAY
    assert figures(finished.production).channel(BOOKS).share == 1


def test_it_outlasts_the_evidence_of_books(finished):
    keep(finished.production)
    before = figures(finished.production)
    forget_books(finished.production)
    assert figures(finished.production) == before
    assert keep(finished.production) is None


def test_without_kept_figures_a_forgotten_day_claims_nothing_of_books(finished):
    forget_books(finished.production)
    after = figures(finished.production)
    assert (after.channel(BOOKS).share, after.books_known_seconds) == (None, 0)
    assert after.channel(TRADES).share == 1 - 60 / 3600


def test_of_channels_the_latest_knowledge_counts_though_books_are_forgotten(finished):
    keep(finished.production)
    forget_books(finished.production)
    execute(
        finished.production,
        "UPDATE coverage SET holes = '{}', state = 'repaired', repaired = holes WHERE channel = 'trade'",
    )
    execute(finished.production, "UPDATE coverage_hours SET judged_at = now()")
    after = figures(finished.production)
    assert (after.channel(TRADES).share, after.channel(TRADES).repaired_seconds) == (1, 60)
    assert after.channel(BOOKS).outage_seconds == 600


def test_each_day_s_report_is_written_into_the_lake_and_again_when_it_changes(finished, tmp_path):
    storage = FolderStorage(tmp_path / "lake")
    archive = Archive(finished.production, storage)
    while archive.write_reports():
        pass
    assert list(storage.keys("reports")) == [report_key(DAY)]
    written = msgspec.json.decode(storage.read(report_key(DAY)), type=PeriodFigures)
    assert written == figures(finished.production)
    assert json.loads(storage.read(report_key(DAY)))["channels"][0]["channel"] == BOOKS
    finished.gatherers[1].runs(0, 60).listens_to_all(tickers=["KX"])
    finished.judge(61)
    let_an_hour_pass(finished.production)
    while archive.write_reports():
        pass
    again = msgspec.json.decode(storage.read(report_key(DAY)), type=PeriodFigures)
    assert (written.channel(BOOKS).outage_seconds, again.channel(BOOKS).outage_seconds) == (600, 0)
