"""What nobody was sent, and whether it is said to be missing."""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import NamedTuple

from app.coverage.hearing import BOOKS, COMBO_LIFECYCLE, LIFECYCLE, TICKERS, TRADES, WHOLE_EXCHANGE
from app.coverage.intervals import Intervals
from app.simulator.changes import Change, Delta, Lifecycle, Trade
from app.simulator.lifecycle import SILENT


class Subject(NamedTuple):
    channel: str
    ticker: str  # or the whole exchange


class Hole(NamedTuple):
    subject: Subject
    first_us: int
    last_us: int


def true_holes(
    changes: Iterable[Change], delivered: Container[int], ticker: Callable[[int], str], since_us: int
) -> Iterator[Hole]:
    """Changes of one subject, one after the other, of which none was sent whole to anybody; in no order."""
    under_way: dict[Subject, Hole] = {}
    for ordinal, change in enumerate(changes):
        if change.at_us < since_us or (isinstance(change, Lifecycle) and change.message_type == SILENT):
            continue
        subject = _subject(change, ticker)
        if ordinal not in delivered:
            before = under_way.get(subject, Hole(subject, change.at_us, change.at_us))
            under_way[subject] = before._replace(last_us=change.at_us)
        elif subject in under_way:
            yield under_way.pop(subject)
    yield from under_way.values()


def undeclared(holes: Iterable[Hole], declared: Mapping[Subject, Intervals]) -> list[Hole]:
    """Those that do not lie in one of the declared intervals."""
    return [hole for hole in holes if not _lies_in(hole, declared.get(hole.subject, ()))]


def declared_since(declared: Mapping[Subject, Intervals], since_us: int) -> int:
    return sum(end_us > since_us for intervals in declared.values() for _, end_us in intervals)


def by_subject(rows: Iterable[tuple[str, str, int, int]]) -> dict[Subject, list[tuple[int, int]]]:
    grouped: dict[Subject, list[tuple[int, int]]] = defaultdict(list)
    for channel, ticker, start_us, end_us in rows:
        grouped[Subject(channel, ticker)].append((start_us, end_us))
    return grouped


def _lies_in(hole: Hole, intervals: Intervals) -> bool:
    return any(start_us <= hole.first_us and hole.last_us < end_us for start_us, end_us in intervals)


def _subject(change: Change, ticker: Callable[[int], str]) -> Subject:
    if isinstance(change, Delta):
        return Subject(BOOKS, ticker(change.market))
    if isinstance(change, Lifecycle):
        channel = COMBO_LIFECYCLE if change.message_type == COMBO_LIFECYCLE else LIFECYCLE
    else:
        channel = TRADES if isinstance(change, Trade) else TICKERS
    return Subject(channel, WHOLE_EXCHANGE)
