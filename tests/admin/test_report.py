"""The report's page says what the command says."""

from datetime import timedelta

import pytest

from app.postgres.connection import connected
from app.report.days import report_of
from app.report.words import sentences, tables
from app.status.readings import asked_over
from kalshi_data.layout import day_of
from tests.gatherers import execute


@pytest.fixture
def month(changing):
    """The month of the seeded recording, and the service."""
    ((first,),) = execute(changing.dsn, "SELECT min(started_at) FROM gatherer_runs")
    return changing, day_of(first).replace(day=1)


def test_it_shows_every_sentence_and_table_of_the_report(month):
    service, begins = month
    page = service.get(f"/report/figures?month={begins:%Y-%m}").text
    with connected(service.dsn) as connection:
        report = report_of(asked_over(connection), begins, (begins + timedelta(days=31)).replace(day=1))
    assert all(sentence.replace("'", "&#39;") in page for sentence in sentences(report))
    assert all(f">{table.title}</h2>" in page for table in tables(report) if table.rows)


def test_it_leads_to_the_months_beside_it(month):
    service, _ = month
    page = service.get("/report?month=2026-01").text
    assert "January 2026" in page
    assert 'href="/report?month=2025-12"' in page
    assert 'href="/report?month=2026-02"' in page


def test_a_month_without_a_record_is_empty(month):
    service, _ = month
    assert "Nothing was recorded in this month." in service.get("/report/figures?month=2001-01").text


@pytest.mark.parametrize("given", ["November", "2026-13", "1066-10", "2026-11-21"])
def test_what_is_no_month_is_refused(month, given):
    service, _ = month
    assert service.get(f"/report?month={given}").status_code == 400
