"""The figures of a day, and how those of several days add up.

Everything that is claimed here is known: time that is not judged is in no figure, and shares are of what is known. Sums
of seconds, and counts by age, can be added; a percentile is looked up in the counts and is never better than the truth.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import reduce
from itertools import groupby
from operator import attrgetter
from typing import TypeVar

import msgspec

# The share of the time that is to be recorded; what is repaired is recorded.
TARGET_SHARE = 0.9999
LISTED_HOLES = 10
# Ages are counted in classes, each a quarter of a power of two wide: a percentile is at most 19 % too high.
CLASSES_PER_DOUBLING = 4


def at_most_ms(counts: Mapping[int, int], share: float) -> float | None:
    """Return an age that this share of what is counted did not exceed. Return None if nothing is."""
    wanted, seen = share * sum(counts.values()), 0
    for number in sorted(counts):
        seen += counts[number]
        if seen >= wanted:
            return float(2 ** (number / CLASSES_PER_DOUBLING))
    return None


class ChannelFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of one channel; of order books, the sum over all markets."""

    channel: str
    possible_seconds: float = 0.0  # known, and since the record began
    outage_seconds: float = 0.0  # not recorded
    opening_seconds: float = 0.0  # not recorded: the market had opened and its first snapshot had not come yet
    repaired_seconds: float = 0.0  # received by no gatherer, and fetched afterwards
    proven_seconds: float | None = None  # recorded, and confirmed by the exchange; None: a channel without an audit
    markets: int = 0
    outage_markets: int = 0  # on most days the same ones are counted again

    @property
    def recorded_seconds(self) -> float:
        return self.possible_seconds - self.outage_seconds - self.opening_seconds

    @property
    def share(self) -> float | None:
        """Return the part of the time that is recorded, or None if nothing could be."""
        return _part(self.recorded_seconds, self.possible_seconds)

    @property
    def proven_share(self) -> float | None:
        return None if self.proven_seconds is None else _part(self.proven_seconds, self.possible_seconds)


class GathererFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What one gatherer received of a channel, by its journal."""

    gatherer: str
    channel: str
    possible_seconds: float
    missed_seconds: float  # which it alone would have missed
    alone_seconds: float  # which only it received

    @property
    def share(self) -> float | None:
        return _part(self.possible_seconds - self.missed_seconds, self.possible_seconds)


class AgeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The ages of a table's rows at one stage, as counts by class."""

    table: str
    stage: str
    counts: Mapping[int, int]  # by class

    @property
    def rows(self) -> int:
        return sum(self.counts.values())

    def at_most_ms(self, share: float) -> float | None:
        return at_most_ms(self.counts, share)


class AuditFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Books that differed from what the exchange showed, by what became of them."""

    explained: int = 0  # a hole explains the difference
    resolved: int = 0  # rows that came later made them equal
    unexplained: int = 0  # counted as outages
    still_unexplained: int = 0  # the same, of differences that began before these days

    @property
    def counted_as_outages(self) -> int:
        return self.unexplained + self.still_unexplained


class HoleFigures(msgspec.Struct, frozen=True, kw_only=True):
    """An outage: the time in which nobody received a channel, or the books of markets that lack about the same time."""

    channel: str
    since: datetime
    until: datetime
    markets: int  # 0: the channel of the whole exchange
    ticker: str  # the market that lacks most
    causes: Sequence[str] = ()  # of each gatherer

    @property
    def seconds(self) -> float:
        return (self.until - self.since).total_seconds()


class PeriodFigures(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of a day or of several days."""

    since: datetime
    until: datetime
    known_seconds: float = 0.0
    pending_seconds: float = 0.0  # of the time that has passed: not judged, so nothing is claimed of it
    books_known_seconds: float = 0.0  # less than the known time where the evidence of books is deleted
    channels: Sequence[ChannelFigures] = ()
    gatherers: Sequence[GathererFigures] = ()
    hours_needed: Mapping[int, int] = {}  # how many gatherers it took to have everything that any of them received
    openings: Mapping[int, int] = {}  # of markets: for how long each had no book then, by class of age
    ages: Sequence[AgeFigures] = ()
    audit: AuditFigures = AuditFigures()
    holes: Sequence[HoleFigures] = ()  # the longest ones

    def channel(self, name: str) -> ChannelFigures:
        return next((each for each in self.channels if each.channel == name), ChannelFigures(channel=name))


def combined(days: Sequence[PeriodFigures]) -> PeriodFigures:
    """Return the figures of all these days together, of which there is at least one."""
    return PeriodFigures(
        since=days[0].since,
        until=days[-1].until,
        known_seconds=sum(day.known_seconds for day in days),
        pending_seconds=sum(day.pending_seconds for day in days),
        books_known_seconds=sum(day.books_known_seconds for day in days),
        channels=_added((each for day in days for each in day.channels), "channel"),
        gatherers=_added((each for day in days for each in day.gatherers), "gatherer", "channel"),
        hours_needed=_counts(day.hours_needed for day in days),
        openings=_counts(day.openings for day in days),
        ages=_added((each for day in days for each in day.ages), "table", "stage"),
        audit=_added_audits([day.audit for day in days]),
        holes=longest(joined(each for day in days for each in day.holes)),
    )


def _added_audits(audits: Sequence[AuditFigures]) -> AuditFigures:
    # A difference that lasts for days is counted where it began.
    return msgspec.structs.replace(reduce(_plus, audits), still_unexplained=audits[0].still_unexplained)


def longest(holes: Iterable[HoleFigures]) -> list[HoleFigures]:
    return sorted(holes, key=lambda hole: (-hole.seconds, hole.since))[:LISTED_HOLES]


def joined(holes: Iterable[HoleFigures]) -> list[HoleFigures]:
    """Return the holes, those joined that go on at the beginning of the next day."""
    found: list[HoleFigures] = []
    for hole in sorted(holes, key=attrgetter("channel", "ticker", "since")):
        last = found[-1] if found else None
        if last and (last.channel, last.ticker, last.until) == (hole.channel, hole.ticker, hole.since):
            causes = list(dict.fromkeys([*last.causes, *hole.causes]))
            found[-1] = msgspec.structs.replace(
                last, until=hole.until, markets=max(last.markets, hole.markets), causes=causes
            )
        else:
            found.append(hole)
    return found


Figures = TypeVar("Figures", ChannelFigures, GathererFigures, AgeFigures, AuditFigures)


def _added(figures: Iterable[Figures], *names: str) -> list[Figures]:
    """Return one sum for each of the keys that these names make, in the order of their first appearance."""
    key = attrgetter(*names)
    given = list(figures)
    order = {name: number for number, name in enumerate(dict.fromkeys(map(key, given)))}
    ordered = sorted(given, key=lambda each: order[key(each)])
    return [reduce(_plus, group) for _, group in groupby(ordered, key)]


def _plus(left: Figures, right: Figures) -> Figures:
    sums: dict[str, object] = {}
    for name in left.__struct_fields__:
        one, other = getattr(left, name), getattr(right, name)
        if isinstance(one, Mapping):
            sums[name] = _counts([one, other])
        elif not isinstance(one, str):
            sums[name] = other if one is None else one if other is None else one + other
    return msgspec.structs.replace(left, **sums)


def _counts(given: Iterable[Mapping[int, int]]) -> dict[int, int]:
    sums: dict[int, int] = {}
    for counts in given:
        for number, count in counts.items():
            sums[number] = sums.get(number, 0) + count
    return sums


def _part(seconds: float, of_seconds: float) -> float | None:
    return min(1.0, max(0.0, seconds / of_seconds)) if of_seconds > 0 else None
