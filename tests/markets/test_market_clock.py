import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.markets.market import STATUSES, apply_clock, is_about_to_close, is_to_be_recorded, next_moment_us
from tests.markets.build import MINUTE_US, NOW_US, market

minutes = st.none() | st.integers(-20, 20).map(lambda minute: NOW_US + minute * MINUTE_US)
markets = st.builds(market, status=st.sampled_from(STATUSES), open_us=minutes, close_us=minutes)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"status": "initialized", "open_us": NOW_US + 6 * MINUTE_US}, False),
        ({"status": "initialized", "open_us": NOW_US + 5 * MINUTE_US}, True),
        ({"status": "initialized", "open_us": NOW_US - 60 * MINUTE_US}, True),
        ({"status": "initialized", "open_us": None}, False),
        ({"status": "active"}, True),
        ({"status": "inactive"}, True),
        ({"status": "closed", "close_us": NOW_US - 9 * MINUTE_US}, True),
        ({"status": "closed", "close_us": NOW_US - 10 * MINUTE_US}, False),
        ({"status": "determined"}, False),
        ({"status": "finalized"}, False),
    ],
)
def test_a_market_is_recorded_from_shortly_before_its_opening_until_after_its_closing(facts, expected):
    assert is_to_be_recorded(market(**facts), NOW_US) is expected


@given(markets, st.integers(0, 40))
def test_nothing_changes_by_the_clock_before_the_next_moment(subject, after_minutes):
    later_us = NOW_US + after_minutes * MINUTE_US
    moment_us = next_moment_us(subject, NOW_US)
    if moment_us is None or later_us < moment_us:
        assert apply_clock(subject, later_us, NOW_US) == subject
        assert is_to_be_recorded(subject, later_us) == is_to_be_recorded(subject, NOW_US)
        assert is_about_to_close(subject, later_us) == is_about_to_close(subject, NOW_US)
    else:
        after = apply_clock(subject, moment_us, NOW_US)
        assert (
            after != subject
            or is_to_be_recorded(subject, moment_us) != is_to_be_recorded(subject, moment_us - 1)
            or is_about_to_close(subject, moment_us) != is_about_to_close(subject, moment_us - 1)
        )


def test_what_was_longer_ago_than_the_given_moment_is_not_derived():
    subject = market(status="initialized", open_us=NOW_US - 2 * MINUTE_US)
    assert apply_clock(subject, NOW_US, NOW_US - MINUTE_US).status == "initialized"
    assert apply_clock(subject, NOW_US, NOW_US - 3 * MINUTE_US).status == "active"


def test_markets_that_close_at_the_same_second_are_not_about_to_close_at_the_same_one():
    together = [market(ticker=f"KXHOURLY-{number}", status="active", close_us=NOW_US) for number in range(3_000)]
    moments_us = [next_moment_us(subject, NOW_US - MINUTE_US) for subject in together]
    assert all(NOW_US - MINUTE_US < moment_us < NOW_US for moment_us in moments_us)
    assert max(map(moments_us.count, set(moments_us))) < 200
    assert not any(is_about_to_close(subject, NOW_US) for subject in together)
