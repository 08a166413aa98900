import json

import pytest

from tests.coverage.conftest import Coverage
from tests.gatherers import put_market
from tests.processes import run


@pytest.fixture
def asked(server, templates, production):
    coverage = Coverage(server, templates, production)
    put_market(production, "KXTEST-1")
    coverage.gatherers[0].runs(0, 60).listens_to_all(tickers=["KXTEST-1"]).misses(10, 20)
    coverage.judge(61)

    def ask(*arguments):
        return run("-m", "app", "report", *arguments, KALSHI_PRODUCTION_DSN=production.reveal())

    return ask


def test_a_month_is_told_in_plain_words_and_then_in_tables(asked):
    done = asked("--month", "2026-11")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Quality of the record, 1 November 2026 to ")
    assert lines[1] == "Order books: 83.3 % of market-seconds are recorded; the target of 99.990 % is missed."
    assert "Longest outages" in lines


def test_programs_get_every_figure_in_seconds(asked):
    made = json.loads(asked("--day", "2026-11-01", "--json").stdout)
    books, *_ = made["total"]["channels"]
    assert (books["possible_seconds"], books["outage_seconds"]) == (3600, 600)
    assert len(made["days"]) == 1


def test_a_page_needs_no_other_file(asked):
    page = asked("--from", "2026-11-01", "--to", "2026-11-02", "--html").stdout
    assert page.startswith("<!doctype html>")
    assert "src=" not in page
    assert "href=" not in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--month", "November"), "2026-11"),
        (("--month", "1066-10"), "not between"),
        (("--day", "2026-11"), "2026-11-21"),
        (("--from", "2026-11-02", "--to", "2026-11-01"), "not after --from"),
        (("--from", "2026-11-02"), "both"),
        (("--month", "2026-11", "--day", "2026-11-01"), "Give --month"),
        (("--json", "--html"), "not both"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, said):
    done = run("-m", "app", "report", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_time_without_a_record_is_an_error(asked):
    done = asked("--month", "2026-09")
    assert done.returncode == 1
    assert "Nothing was recorded" in done.stderr
