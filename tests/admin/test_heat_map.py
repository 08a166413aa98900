"""The map of hours: which share of the time is recorded, and what is held against an hour."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.pages.coverage import LIVES, LifeGroup, bands, heat_map, market_seconds
from app.report.words import per_cent
from tests.gatherers import execute

HOUR = timedelta(hours=1)
NINE = datetime(2026, 11, 21, 9, tzinfo=UTC)
TEN = NINE + HOUR
# A hundred markets that are open all the time: 360,000 market-seconds an hour.
LIVES_OF_ALL = [LifeGroup(NINE - HOUR, TEN + HOUR, 100, 0.0, 0.0)]
KNOWN = [(NINE, TEN), (TEN, TEN + HOUR)]


def books(*exceptions, hours=KNOWN, lives=LIVES_OF_ALL):
    found = [(hour, "orderbook_delta", kind, markets, seconds) for hour, kind, markets, seconds in exceptions]
    return heat_map(hours, found, lives)["orderbook_delta"]


def test_an_outage_is_weighed_by_the_time_of_all_markets():
    slight, bad = books((NINE, "outage", 2, 7.2), (TEN, "outage", 50, 36_000.0))
    assert (slight.state, slight.figure) == ("slight", "99.998")
    assert slight.text == "21 Nov 09:00 Order books, 99.998 % of market-seconds: 2 in outages (7.2 s)"
    assert (bad.state, bad.figure) == ("hole", "90.0")


def test_openings_are_in_the_figure_and_not_in_the_colour():
    opened, both = books((NINE, "opening", 30, 36.0), (TEN, "opening", 30, 36.0), (TEN, "outage", 1, 1.0))
    assert (opened.state, opened.figure) == ("complete", "99.990")
    assert opened.text.endswith("30 just opened (36 s)")
    assert (both.state, both.text.split(": ")[1]) == ("slight", "1 in outages (1.0 s); 30 just opened (36 s)")


def test_what_lies_before_the_record_is_held_against_nothing():
    first, second = books((NINE, "unrecorded", 100, 180_000.0), (NINE, "outage", 1, 18_000.0))
    assert (first.state, first.figure) == ("hole", "90.0")
    assert first.text.endswith("the record began in this hour")
    assert (second.state, second.figure) == ("complete", "100")
    assert books((NINE, "unrecorded", 100, 360_000.0))[0].state == "unrecorded"


def test_hours_before_the_first_one_and_the_latest_one():
    row = heat_map([(NINE - HOUR, None), (NINE, TEN), (TEN, TEN + HOUR / 2)], [], [])["trade"]
    assert [cell.state for cell in row] == ["unrecorded", "complete", "pending"]
    assert row[0].text == "21 Nov 08:00 Trades: before the record began"
    assert row[2].figure == "100"
    assert heat_map([(NINE, NINE)], [], [])["trade"][0].figure == "·"
    assert heat_map([(NINE, None)], [], []) == {}


def test_a_channel_of_the_exchange_is_weighed_by_seconds_and_a_repair_is_no_loss():
    exceptions = [(NINE, "trade", "repaired", 1, 60.0), (TEN, "trade", "outage", 1, 36.0)]
    repaired, lost = heat_map(KNOWN, exceptions, [])["trade"]
    assert (repaired.state, repaired.figure, lost.state, lost.figure) == ("repaired", "100", "hole", "99.0")
    assert repaired.text == "21 Nov 09:00 Trades, 100 % of the time: repaired 60 s"


def test_an_outage_in_an_hour_of_no_known_market_is_shown_all_the_same():
    cell = books((NINE, "outage", 1, 5.0), lives=[])[0]
    assert (cell.state, cell.share, cell.figure) == ("hole", None, "✕")


@given(st.floats(0, 1))
def test_only_all_of_it_is_a_hundred_per_cent(share):
    assert (per_cent(share) == "100") == (share == 1)
    assert float(per_cent(share)) <= share * 100 + 1e-6


@pytest.mark.parametrize(("share", "shown"), [(1, "100"), (0.99998, "99.998"), (0.9999999, "99.999"), (0.5, "50.0")])
def test_a_share_has_as_many_decimals_as_it_needs(share, shown):
    assert per_cent(share) == shown


def test_the_map_falls_into_parts_of_eight_hours():
    hours = [(NINE + number * HOUR, NINE + (number + 1) * HOUR) for number in range(24)]
    parts = bands(heat_map(hours, [], []))
    assert [part["trade"][0].hour for part in parts] == [NINE, NINE + 8 * HOUR, NINE + 16 * HOUR]
    assert bands({}) == []


def test_the_time_of_markets_in_each_hour_is_what_adding_up_their_lives_gives(production):
    """Lives that begin and end anywhere, before, in and after four hours of which three and a half are known."""
    end = NINE + 3.5 * HOUR
    lives = [
        (minutes, minutes + length)
        for minutes in range(-200, 400, 37)
        for length in (1, 20, 59, 61, 240, 700, None)[:6]
    ]
    for number, (opens, closes) in enumerate([*lives, (None, None), (None, 30), (90, None)]):
        execute(
            production,
            "INSERT INTO markets (ticker, event_ticker, title, status, market_type, open_time, close_time, updated_at, "
            "details) VALUES (%s, 'KX', 'A market', 'active', 'binary', %s, %s, now(), '{}')",
            (
                f"KX-{number}",
                *(minutes and NINE + timedelta(minutes=minutes, seconds=0.5) for minutes in (opens, closes)),
            ),
        )
    rows = [LifeGroup(*row) for row in execute(production, LIVES, {"from": NINE, "to": end, "length": HOUR})]
    for number in range(4):
        hour = NINE + number * HOUR
        ((expected,),) = execute(
            production,
            "SELECT extract(epoch FROM sum(least(traded_until(close_time), %(to)s) - greatest(open_time, %(from)s)))::FLOAT "
            "FROM markets WHERE greatest(open_time, %(from)s) < least(traded_until(close_time), %(to)s)",
            {"from": hour, "to": min(hour + HOUR, end)},
        )
        assert market_seconds(rows, hour) == pytest.approx(expected)
