"""Merge lifecycle messages of several gatherers into events, from raw/.

Written independently of the deduplicator's code, so that each can be checked against the other. The messages carry no
time of their own, and an announcement may be repeated. Copies within a few seconds are one event; but two messages that
one gatherer numbered differently are two events.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import count
from typing import Any, NamedTuple

import pyarrow as pa

COPIES_US = timedelta(seconds=5) // timedelta(microseconds=1)
TOLD = ("ticker", "event_type", "digest")


class _Event:
    def __init__(self, started_us: int, row: int) -> None:
        self.started_us = started_us
        self.row = row  # the row of its earliest copy
        self.numbers: dict[str, set[int]] = defaultdict(set)


class _Copy(NamedTuple):
    at_us: int
    gatherer: str
    nth: int
    row: int


def query_of(gatherers: Mapping[str, str], columns: Sequence[str]) -> str:
    """Return the query for the rows of all views, each with its gatherer."""
    names = ", ".join(columns)
    quoted = {view: gatherer.replace("'", "''") for gatherer, view in gatherers.items()}
    return " UNION ALL ".join(
        f"SELECT '{gatherer}' AS gatherer, {names} FROM {view}"  # noqa: S608 - of our own names
        for view, gatherer in quoted.items()
    )


def events_of(copies: pa.Table) -> pa.Table:
    """Return the earliest copy of each event, numbered among the events of the same instant."""
    times = copies["exchange_ts"].cast(pa.int64()).to_pylist()
    gatherers, numbers = copies["gatherer"].to_pylist(), copies["nth"].to_pylist()
    told: dict[tuple[object, ...], list[_Copy]] = defaultdict(list)
    for row, announcement in enumerate(zip(*(copies[name].to_pylist() for name in TOLD), strict=True)):
        told[announcement].append(_Copy(times[row], gatherers[row], numbers[row], row))
    events = [event for each in told.values() for event in _numbered(_events(sorted(each)))]
    found = copies.take(pa.array([event.row for event, _ in events], pa.int64()))
    position = found.schema.get_field_index("nth")
    numbered = pa.array([number for _, number in events], found.schema.field(position).type)
    return found.set_column(position, "nth", numbered).drop_columns(["gatherer"])


def unarchived(archived: pa.Table, fresh: pa.Table) -> list[tuple[int, int]]:
    """Return which rows of the database are no event of the lake, each with its number within the same instant.

    Which copies made a row is no longer known, so each row is an event of its own side; the same row on both sides is
    one event.
    """
    told: dict[tuple[object, ...], list[_Copy]] = defaultdict(list)
    sides = {"archived": _rows(archived), "fresh": _rows(fresh)}
    known = set(sides["archived"]) & set(sides["fresh"])
    for side, rows in sides.items():
        for row, (at_us, nth, *announcement) in enumerate(rows):
            if (at_us, nth, *announcement) not in known:
                told[tuple(announcement)].append(_Copy(at_us, side, row, row))
    events = [event for each in told.values() for event in _events(sorted(each))]
    taken = set(sides["archived"])
    found = []
    for row in sorted(event.row for event in events if "archived" not in event.numbers):
        at_us, _, *announcement = sides["fresh"][row]
        nth = next(number for number in count() if (at_us, number, *announcement) not in taken)
        taken.add((at_us, nth, *announcement))
        found.append((row, nth))
    return found


def _rows(table: pa.Table) -> list[tuple[Any, ...]]:
    columns = (table["exchange_ts"].cast(pa.int64()), *(table[name] for name in ("nth", *TOLD)))
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


def _events(copies: Iterable[_Copy]) -> list[_Event]:
    events: list[_Event] = []
    first_open = 0
    for copy in copies:
        while first_open < len(events) and copy.at_us - events[first_open].started_us > COPIES_US:
            first_open += 1
        event = _event_of(copy, events[first_open:])
        if event is None:
            event = _Event(copy.at_us, copy.row)
            events.append(event)
        event.numbers[copy.gatherer].add(copy.nth)
    return events


def _event_of(copy: _Copy, events: list[_Event]) -> _Event | None:
    for event in reversed(events):
        if copy.nth in event.numbers.get(copy.gatherer, ()):
            return event
    return next((event for event in reversed(events) if copy.gatherer not in event.numbers), None)


def _numbered(events: Iterable[_Event]) -> Iterable[tuple[_Event, int]]:
    before: Counter[int] = Counter()
    for event in events:
        yield event, before[event.started_us]
        before[event.started_us] += 1
