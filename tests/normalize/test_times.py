from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.normalize.values import UnfitMessageError, exchange_us, rfc3339_us

NOON_US = 1_793_534_400_000_000
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)), ZONES)  # noqa: DTZ001 - the zone is drawn
def test_a_written_time_is_the_moment_it_names(local, zone):
    moment = local.replace(tzinfo=zone)
    since_1970 = moment - datetime(1970, 1, 1, tzinfo=UTC)
    assert rfc3339_us(moment.isoformat()) == since_1970 // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("2026-11-01T12:00:00Z", NOON_US),
        ("2026-11-01T12:00:00.123Z", NOON_US + 123_000),
        ("2026-11-01T12:00:00.123456Z", NOON_US + 123_456),
        ("2026-11-01T12:00:00.1234569Z", NOON_US + 123_456),
        ("2026-11-01T14:00:00.5+02:00", NOON_US + 500_000),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
    ],
)
def test_fractions_have_any_number_of_digits(text, us):
    assert rfc3339_us(text) == us


@pytest.mark.parametrize(
    "text", ["", "2026-11-01", "2026-11-01T12:00:00", "2026-11-01T25:00:00Z", "2026-11-01 12:00:00Z", "1793534400"]
)
def test_what_names_no_moment_is_refused(text):
    with pytest.raises(UnfitMessageError, match="is not a time"):
        rfc3339_us(text)


def test_milliseconds_go_before_the_other_time():
    assert exchange_us(1_793_534_400_001, "2026-11-01T12:00:00Z") == NOON_US + 1_000
    assert exchange_us(None, "2026-11-01T12:00:00Z") == NOON_US
    assert exchange_us(None, 1_793_534_400) == NOON_US
    assert exchange_us(None, None) is None


@pytest.mark.parametrize("ts", [1_793_534_400_000, -1, 10**30, "0001-01-01T00:00:00Z"])
def test_a_time_in_another_unit_is_refused(ts):
    with pytest.raises(UnfitMessageError, match="not a plausible time"):
        exchange_us(None, ts)
