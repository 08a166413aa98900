"""Merge lifecycle messages: decide from all gatherers' copies which ones are one event.

Production keeps each event's copies (column `copies`), and every merge looks at the stored and the staged ones
together. So the result depends neither on the order in which copies arrive nor on how often they do.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import count, takewhile
from typing import NamedTuple

import psycopg2.extensions
from psycopg2 import sql
from psycopg2.extras import execute_values

from app.normalize.events import COPIES_US

# A row merged before copies were kept does not record which gatherer received it.
UNKNOWN_GATHERER = ""

Announcement = tuple[str, str, int]
# Wider than COPIES_US: where announcements follow each other closely, one event's copies decide about the next one's.
REACH = """
    SELECT (%(first)s::TIMESTAMPTZ - INTERVAL '1 minute')::TEXT, (%(last)s::TIMESTAMPTZ + INTERVAL '1 minute')::TEXT
"""
MICROSECONDS = "(extract(epoch FROM {}) * 1000000)::BIGINT"
AT = "TIMESTAMPTZ 'epoch' + {} * INTERVAL '1 microsecond'"
STAGED = f"""
    SELECT ticker, event_type, digest, payload::TEXT, {MICROSECONDS.format("exchange_ts")}, coalesce(gatherer, ''), nth,
        {MICROSECONDS.format("received_at")}
    FROM staging
"""  # noqa: S608 - of our own words
STORED = f"""
    SELECT ticker, event_type, digest, {MICROSECONDS.format("exchange_ts")}, nth,
        {MICROSECONDS.format("received_at")}, copies
    FROM lifecycle_events AS stored JOIN (SELECT DISTINCT ticker, event_type, digest FROM staging) AS told
        USING (ticker, event_type, digest)
    WHERE stored.exchange_ts BETWEEN %(first)s AND %(last)s
"""  # noqa: S608 - of our own words
INSERT = """
    INSERT INTO lifecycle_events (ticker, event_type, digest, payload, exchange_ts, nth, received_at, copies) VALUES %s
"""
INSERTED = f"(%s, %s, %s, %s::JSONB, {AT.format('%s')}, %s, {AT.format('%s')}, %s::JSONB)"
ROW = "(ticker, event_type, digest, at_us, nth)"
IS_ROW = f"""
    stored.ticker = each.ticker AND stored.event_type = each.event_type AND stored.digest = each.digest
    AND stored.exchange_ts = {AT.format("each.at_us")} AND stored.nth = each.nth
    AND stored.exchange_ts BETWEEN {{first}} AND {{last}}
"""
UPDATE = f"""
    UPDATE lifecycle_events AS stored SET copies = each.copies::JSONB
    FROM (VALUES %s) AS each (ticker, event_type, digest, at_us, nth, copies) WHERE {IS_ROW}
"""  # noqa: S608 - of our own words
# The export of each hour that held a withdrawn row is reset, so that the lake's exporter writes the hour again.
DELETE = f"""
    WITH withdrawn AS (
        DELETE FROM lifecycle_events AS stored USING (VALUES %s) AS each {ROW} WHERE {IS_ROW}
        RETURNING stored.exchange_ts
    )
    UPDATE exports SET through_ingest_id = 0, verified_at = NULL FROM withdrawn
    WHERE exports.table_name = 'lifecycle_events' AND exports.hour = date_bin('1 hour', withdrawn.exchange_ts, 'epoch')
"""  # noqa: S608 - of our own words


class AnnouncementCopy(NamedTuple):
    """An announcement as one gatherer has it. Copies to which one gatherer gave different numbers are different
    events."""

    at_us: int
    gatherer: str
    nth: int
    received_us: int

    @property
    def number(self) -> tuple[str, int]:
        return self.gatherer, self.nth


def events_of(copies: Iterable[AnnouncementCopy]) -> list[list[AnnouncementCopy]]:
    """Group copies into events, and return each event's copies.

    In order of time, each copy joins a near event, one that began within COPIES_US before it: first choice is an event
    that already has a copy with this gatherer and number, second one that has no copy of this gatherer; the latest if
    there are several. A copy that finds none begins a new event.
    """
    events: list[list[AnnouncementCopy]] = []
    for copy in sorted(copies):
        near = list(takewhile(lambda event: copy.at_us - event[0].at_us <= COPIES_US, reversed(events)))  # noqa: B023
        same = [event for event in near if any(each.number == copy.number for each in event)]
        untold = [event for event in near if all(each.gatherer != copy.gatherer for each in event)]
        if found := same or untold:
            found[0].append(copy)
        else:
            events.append([copy])
    return events


class Stored(NamedTuple):
    """An event that production has. Its time is that of its first copy here, and never changes."""

    at_us: int
    nth: int
    copies: list[AnnouncementCopy]


class AnnouncementChanges(NamedTuple):
    new: list[Stored]
    grown: list[Stored]
    withdrawn: list[Stored]


def changes_of(staged: Iterable[AnnouncementCopy], stored: Sequence[Stored]) -> AnnouncementChanges:
    """Return the changes to the stored events of equal content after the staged copies have been added."""
    changes = AnnouncementChanges([], [], [])
    by_first = {row.copies[0]: row for row in stored}
    known = {copy for row in stored for copy in row.copies}
    copies = known | set(staged)
    if copies == known:
        return changes
    fresh: list[list[AnnouncementCopy]] = []
    for event in events_of(copies):
        rows = sorted(by_first[copy] for copy in event if copy in by_first)
        if not rows:
            fresh.append(event)
            continue
        changes.withdrawn.extend(rows[1:])
        if set(rows[0].copies) != set(event):
            first = rows[0].copies[0]
            changes.grown.append(rows[0]._replace(copies=[first, *(copy for copy in event if copy != first)]))
    taken = {(row.at_us, row.nth) for row in stored if row not in changes.withdrawn}
    for event in fresh:
        at_us = event[0].at_us
        nth = next(number for number in count() if (at_us, number) not in taken)
        taken.add((at_us, nth))
        changes.new.append(Stored(at_us, nth, event))
    return changes


def merge_announcements(cursor: psycopg2.extensions.cursor, span: Mapping[str, str]) -> int:
    """Merge the staged copies into production. Return by how many events production grew."""
    cursor.execute("ANALYZE staging")
    cursor.execute(REACH, span)
    first, last = cursor.fetchone() or ("-infinity", "infinity")
    staged, payloads = _staged(cursor)
    stored = _stored(cursor, {"first": first, "last": last})
    changes = {told: changes_of(copies, stored.get(told, [])) for told, copies in staged.items()}
    within = {"first": sql.Literal(first), "last": sql.Literal(last)}
    withdrawn = [(*told, row.at_us, row.nth) for told, change in changes.items() for row in change.withdrawn]
    grown = [(*told, row.at_us, row.nth, _json(row)) for told, change in changes.items() for row in change.grown]
    new = [
        (*told, payloads[told], row.at_us, row.nth, row.copies[0].received_us, _json(row))
        for told, change in changes.items()
        for row in change.new
    ]
    if withdrawn:
        execute_values(cursor, sql.SQL(DELETE).format(**within), withdrawn)
    if grown:
        execute_values(cursor, sql.SQL(UPDATE).format(**within), grown)
    if new:
        execute_values(cursor, INSERT, new, INSERTED)
    return len(new) - len(withdrawn)


def _staged(
    cursor: psycopg2.extensions.cursor,
) -> tuple[dict[Announcement, set[AnnouncementCopy]], dict[Announcement, str]]:
    cursor.execute(STAGED)
    copies: dict[Announcement, set[AnnouncementCopy]] = {}
    payloads: dict[Announcement, str] = {}
    for *told, payload, at_us, gatherer, nth, received_us in cursor:
        announcement: Announcement = tuple(told)
        copies.setdefault(announcement, set()).add(AnnouncementCopy(at_us, gatherer, nth, received_us))
        payloads[announcement] = payload
    return copies, payloads


def _stored(cursor: psycopg2.extensions.cursor, span: Mapping[str, str]) -> dict[Announcement, list[Stored]]:
    cursor.execute(STORED, span)
    stored: dict[Announcement, list[Stored]] = {}
    for *told, at_us, nth, received_us, written in cursor:
        copies = [AnnouncementCopy(*each) for each in written or [(at_us, UNKNOWN_GATHERER, nth, received_us)]]
        stored.setdefault(tuple(told), []).append(Stored(at_us, nth, copies))
    return stored


def _json(row: Stored) -> str:
    return json.dumps(row.copies)
