"""When histories take place: just before midnight, so that hours and days end in them."""

from datetime import UTC, datetime

from app.coverage.intervals import us_of
from tests.gatherers import NOON

SECOND_US = 1_000_000
BEGINNING = datetime(2026, 11, 1, 23, 59, 40, tzinfo=UTC)
BEGINNING_US = us_of(BEGINNING)


def minutes(moment_us):
    """As tests/gatherers.py counts them."""
    return (moment_us - us_of(NOON)) / (60 * SECOND_US)
