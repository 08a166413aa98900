import json

import pytest

from tests.coverage.conftest import Coverage
from tests.gatherers import put_market
from tests.processes import run

NOON = "2026-11-01T12:00:00+00:00"


@pytest.fixture
def asked(server, templates, production):
    coverage = Coverage(server, templates, production)
    gatherer = coverage.gatherers[0]
    put_market(production, "KXTEST-1")
    gatherer.runs(0, 90).listens_to_all(tickers=["KXTEST-1"]).misses(10, 20).misses(30, 31, conn=3)
    coverage.judge(91)

    def ask(*arguments):
        return run("-m", "app", "coverage", *arguments, KALSHI_PRODUCTION_DSN=production.reveal())

    return ask


def test_a_market_s_hours_are_listed_with_the_bounds_of_its_holes(asked):
    done = asked("KXTEST-1", "--from", "2026-11-01T12:00", "--to", "2026-11-01T13:00:00Z")
    lines = done.stdout.splitlines()
    assert [line.split()[2:4] for line in lines] == [
        ["market_lifecycle_v2", "complete"],
        ["orderbook_delta", "hole;"],
        ["ticker", "complete"],
        ["trade", "hole;"],
    ]
    assert "hole 2026-11-01T12:10:00+00:00 to 2026-11-01T12:20:00+00:00; by a" in lines[1]


def test_programs_are_told_the_same_in_json(asked):
    lines = asked("KXTEST-1", "--from", NOON, "--to", "2026-11-01T14:00Z", "--json").stdout.splitlines()
    found = {(each["hour"][11:13], each["channel"]): each for each in map(json.loads, lines)}
    assert found["12", "trade"]["holes"] == [["2026-11-01T12:30:00+00:00", "2026-11-01T12:31:00+00:00"]]
    assert found["13", "trade"]["state"] == "pending"


def test_without_a_market_the_exchange_s_hours_are_summed_up(asked):
    first, second = asked("--from", NOON, "--to", "2026-11-01T14:00Z").stdout.splitlines()
    assert first.startswith("2026-11-01 12:00  settled; 1 books with holes; trade hole 2026-11-01T12:30:00+00:00")
    assert second == "2026-11-01 13:00  known until 2026-11-01 13:30; 0 books with holes"


def test_of_a_time_without_a_record_nothing_is_claimed(asked):
    done = asked("KXTEST-1", "--from", "2026-10-01", "--to", "2026-10-02")
    assert (done.returncode, done.stdout) == (0, "")
    assert "Nothing was recorded" in done.stderr


def test_a_time_that_is_none_ends_with_2(asked):
    done = asked("--from", "yesterday")
    assert done.returncode == 2
    assert "2026-11-21T15:00:00Z" in done.stderr
