"""How complete the record of a market is, or of the whole exchange's channel, over a time."""

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from app.coverage.hearing import BOOKS, WHOLE_EXCHANGE, Hearing, Subscription
from app.coverage.intervals import NEVER, Interval, Intervals, difference, intersection, union

REST = "rest"


class State(Enum):
    COMPLETE = "complete"
    REPAIRED = "repaired"
    HOLE = "hole"


class Judgement(NamedTuple):
    holes: Intervals
    repaired: Intervals = NEVER
    repaired_by: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        if self.holes:
            return State.HOLE
        return State.REPAIRED if self.repaired else State.COMPLETE


def judge_books(
    life: Interval,
    subscriptions: Iterable[Subscription],
    hearing: Hearing,
    ticker: str = WHOLE_EXCHANGE,
    disproved: Intervals = NEVER,
) -> Judgement:
    """A hole in a book lasts until the next snapshot: it is lost, and said who had the book again first. What the audit
    has disproved is a hole, whoever claims to have heard it."""
    heard = {gatherer: hearing.of(own, BOOKS, ticker) for gatherer, own in _by_gatherer(subscriptions).items()}
    everybody = union(interval for intervals in heard.values() for interval in intervals)
    holes = difference(union([life]), difference(everybody, disproved))
    ends = {end for _, end in holes}
    again = sorted(name for name, intervals in heard.items() if any(start in ends for start, _ in intervals))
    return Judgement(holes, repaired_by=tuple(again))


def judge_channel(
    period: Interval, channel: str, subscriptions: Iterable[Subscription], hearing: Hearing, fetched: Intervals
) -> Judgement:
    """Of the whole exchange. What was fetched by REST afterwards is no hole any more."""
    unheard = difference(union([period]), hearing.of(subscriptions, channel))
    repaired = intersection(unheard, fetched)
    return Judgement(difference(unheard, fetched), repaired, (REST,) if repaired else ())


def _by_gatherer(subscriptions: Iterable[Subscription]) -> dict[str, list[Subscription]]:
    grouped: dict[str, list[Subscription]] = {}
    for subscription in subscriptions:
        grouped.setdefault(subscription.socket.run.gatherer, []).append(subscription)
    return grouped
