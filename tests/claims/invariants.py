"""What must hold: nothing is claimed that is not there, what was there still is, and the lake is production."""

from collections import Counter
from typing import NamedTuple

from app.coverage.intervals import us_of
from tests.claims.moments import BEGINNING_US, SECOND_US
from tests.claims.truth import TABLES

# What is known of an hour that is still going on, too, if it was judged since anything about it changed.
CLAIMS = """
    SELECT
        v.ticker, v.channel, v.state, lower(v.period), least(upper(v.period), v.known_until),
        (SELECT coalesce(array_agg(ARRAY[lower(r), upper(r)]), '{}') FROM unnest(v.holes) AS r)
    FROM readable.coverage AS v JOIN coverage_hours AS h USING (hour) JOIN coverage_changes AS c USING (hour)
    WHERE v.state <> 'pending' OR c.changes = h.judged_changes
"""
NUMBERS = " UNION ALL ".join(f"SELECT {number}::BIGINT FROM {table}" for table, number in TABLES.values())


class Claim(NamedTuple):
    """That whatever happened then is recorded, but for the holes."""

    ticker: str
    channel: str
    state: str
    start_us: int
    end_us: int
    holes_us: list

    def is_about(self, event):
        if self.channel == "orderbook_delta" and self.ticker != event.ticker:
            return False
        is_in_hole = any(start <= event.happened_us < end for start, end in self.holes_us)
        return self.start_us <= event.happened_us < self.end_us and not is_in_hole


class Invariants:
    def __init__(self, platform):
        self._platform = platform
        self._reached = set()  # numbers of events that have been in production or in the lake
        self._archived = set()
        self._backed_up = set()
        self._checked = -1

    def check(self):
        """At any time."""
        production = self._platform.production
        if production.is_away or self._checked == self._platform.changes:
            return
        self._checked = self._platform.changes
        rows = numbers_in(production)
        refuse("twice in production", [number for number, times in rows.items() if times > 1])
        here = self._archived | rows.keys()
        refuse("gone from production", self._reached - here)
        self._reached = here
        refuse("claimed and not there", false_claims(self._platform.truth, claims_of(production), here))

    def check_union(self):
        """When nobody has anything left to do."""
        self.check()
        for name in self._platform.members:
            theirs = numbers_in(self._platform.hosts[name].timeseries)
            refuse(f"in the database of {name} alone", theirs.keys() - self._reached)

    def check_lake(self):
        lake = self._platform.lake
        for hour in lake.verified_hours():
            in_lake, in_production = Counter(lake.numbers(hour)), set(lake.numbers_in_production(hour))
            refuse("twice in the lake", [number for number, times in in_lake.items() if times > 1])
            refuse("in production and not in the lake", in_production - in_lake.keys())
            refuse("in the lake alone", in_lake.keys() - self._reached)
            self._archived |= in_lake.keys()

    def production_is_backed_up(self):
        self._backed_up = set(numbers_in(self._platform.production))

    def production_is_put_back(self):
        self._reached = self._archived | self._backed_up
        self._checked = -1


def refuse(what, found):
    assert not found, f"{what}: {list(found)[:8]}, {len(found)} in all"


def numbers_in(database):
    """How often the rows of which events are there, by the events' numbers."""
    return Counter(number for (number,) in database.ask(NUMBERS))


def claims_of(production):
    return [
        Claim(*about, us_of(start), us_of(end), [(us_of(since), us_of(until)) for since, until in holes])
        for *about, start, end, holes in production.ask(CLAIMS)
    ]


def false_claims(truth, claims, here):
    """Of events that are said to be recorded, and are not."""
    return [
        f"{event.channel} of {event.ticker} at {(event.happened_us - BEGINNING_US) / SECOND_US:.3f} s ({claim.state})"
        for claim in claims
        for event in truth.events.get(claim.channel, ())
        if event.number not in here and claim.is_about(event) and truth.can_be_known(event)
    ]
