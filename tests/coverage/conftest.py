from datetime import timedelta

import pytest

from app.coverage.hours import judge_next_hour
from app.postgres.connection import connected
from app.replicate.journal import JournalFollower
from tests.gatherers import Gatherer, at

PATIENCE = timedelta(minutes=10)
AT_ONCE = timedelta(0)


class Coverage:
    """Of three gatherers in production."""

    def __init__(self, server, templates, production):
        self.production = production
        self.gatherers = [Gatherer(server, templates, name) for name in "abc"]

    def judge(self, now_minutes):
        """Everything that there is to be judged; the hours that were."""
        for gatherer in self.gatherers:
            if gatherer.has_recorded:
                gatherer.is_read_into(self.production)
                JournalFollower(gatherer.name, gatherer.timeseries, self.production).round()
        hours = []
        with connected(self.production) as connection:
            while (kept := judge_next_hour(connection, at(now_minutes), PATIENCE, AT_ONCE)).judged:
                hours.append(kept.judged.hour)
        return hours


@pytest.fixture
def coverage(server, templates, production):
    return Coverage(server, templates, production)
