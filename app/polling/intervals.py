from collections.abc import Iterator, Sequence
from typing import NamedTuple

MOST_INTERVALS = 1_000
LONGEST_US = 3_600_000_000
BEGINNING_US = -1


class Interval(NamedTuple):
    started_us: int
    ended_us: int


class Intervals:
    """Times of which something is still to be fetched; those that touch are one.

    It never grows beyond a number: then the two that lie closest become one. That fetches more, and loses nothing.
    """

    def __init__(self, most: int = MOST_INTERVALS) -> None:
        self._most = most
        self._apart: list[Interval] = []  # in order
        self._continue_us = BEGINNING_US

    def __len__(self) -> int:
        return len(self._apart)

    def __iter__(self) -> Iterator[Interval]:
        return iter(self._apart)

    @property
    def seconds(self) -> int:
        return sum(each.ended_us - each.started_us for each in self._apart) // 1_000_000

    def add(self, added: Interval) -> None:
        if added.ended_us < added.started_us:
            raise ValueError(f"{added} ends before it starts")
        touching = [each for each in self._apart if _touch(each, added)]
        apart = [each for each in self._apart if not _touch(each, added)]
        self._apart = sorted([*apart, _hull([*touching, added])])
        if len(self._apart) > self._most:
            self._join_closest()

    def next_piece(self, until_us: int) -> Interval | None:
        """Of what lies before that time, at most an hour: an error or a restart repeats no more than that.

        It goes round, so that one which fails again and again is in nobody's way.
        """
        for from_us in (self._continue_us, BEGINNING_US):
            for each in self._apart:
                if each.ended_us <= from_us:
                    continue
                started_us = max(each.started_us, from_us)
                piece = Interval(started_us, min(started_us + LONGEST_US, each.ended_us))
                if piece.ended_us <= until_us:
                    self._continue_us = piece.ended_us
                    return piece
        return None

    def remove(self, done: Interval) -> None:
        self._apart = [left for each in self._apart for left in _without(each, done)]

    def _join_closest(self) -> None:
        after = min(
            range(1, len(self._apart)), key=lambda at: self._apart[at].started_us - self._apart[at - 1].ended_us
        )
        self._apart[after - 1 : after + 1] = [_hull(self._apart[after - 1 : after + 1])]


def _touch(one: Interval, other: Interval) -> bool:
    return one.started_us <= other.ended_us and other.started_us <= one.ended_us


def _hull(intervals: Sequence[Interval]) -> Interval:
    return Interval(min(each.started_us for each in intervals), max(each.ended_us for each in intervals))


def _without(interval: Interval, done: Interval) -> list[Interval]:
    if not _touch(interval, done):
        return [interval]
    left = [Interval(interval.started_us, done.started_us), Interval(done.ended_us, interval.ended_us)]
    return [each for each in left if each.started_us < each.ended_us]
