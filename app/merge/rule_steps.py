"""The steps by which staged rows become production's, for whoever has staged some: the merger, and the admin service
for a row from quarantine. The caller holds the table's lock."""

from collections.abc import Mapping
from typing import NamedTuple

import psycopg2.extensions
from psycopg2.sql import Composed

from app import logs
from app.merge.announcements import merge_announcements
from app.merge.rules import Rule
from app.merge.statements import RowChange, Statements
from app.metrics.merge import DIFFERING_COPIES

log = logs.get(__name__)

# A late row may meet more rows of a compressed day than TimescaleDB opens for a transaction unasked.
OPEN_WHAT_IT_TAKES = "SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0"
EVERYTHING = {"frontier": "infinity"}


class Staged(NamedTuple):
    """What the staged rows, of which there are some, ask for."""

    span: Mapping[str, str]  # the first and the last time that can matter
    are_seeking: bool  # one of them looks for a copy with a better time
    meet_compressed: bool  # in the span rows of production may be compressed


def apply_rule(cursor: psycopg2.extensions.cursor, rule: Rule, statements: Statements, *, is_sifted: bool) -> int:
    """Return how many of the staged rows were new. app/merge/rules.py says what happens here."""
    staged = _survey(cursor, statements)
    if staged is None:
        return 0
    span, change = staged.span, _change_compressed if staged.meet_compressed else _change
    if rule.are_announcements:
        return merge_announcements(cursor, span)
    are_marked = _are_marked(cursor, rule, statements, span)
    if staged.are_seeking or are_marked:
        cursor.execute("ANALYZE staging")
    if staged.are_seeking and statements.take_best_times:
        cursor.execute(statements.take_best_times, span)
    withdrawn = change(cursor, statements.withdraw, span) if are_marked else 0
    new = _insert(cursor, statements, span, is_sifted=is_sifted) - withdrawn
    if rule.is_sample:
        new += _move_apart(cursor, statements, span)
    if statements.note_differing:
        _note_differing(cursor, statements.note_differing, span)
    if are_marked:
        change(cursor, statements.improve, span)
    return new


def _survey(cursor: psycopg2.extensions.cursor, statements: Statements) -> Staged | None:
    cursor.execute(statements.survey)
    first, last, are_seeking, meet_compressed = cursor.fetchone() or (None, None, False, False)
    if meet_compressed:
        cursor.execute(OPEN_WHAT_IT_TAKES)
    return None if first is None else Staged({"first": first, "last": last}, are_seeking, bool(meet_compressed))


def _change(cursor: psycopg2.extensions.cursor, change: RowChange | None, span: Mapping[str, str]) -> int:
    if change is None:
        return 0
    cursor.execute(change.everywhere, span)
    return cursor.rowcount


def _change_compressed(cursor: psycopg2.extensions.cursor, change: RowChange | None, span: Mapping[str, str]) -> int:
    if change is None:
        return 0
    cursor.execute(change.find, span)
    first, last, first_ticker, last_ticker = cursor.fetchone() or (None, None, None, None)
    if first is None:
        return 0
    bounds = {"first": first, "last": last, "first_ticker": first_ticker, "last_ticker": last_ticker}
    cursor.execute(change.among_markets, bounds)
    return cursor.rowcount


def _note_differing(cursor: psycopg2.extensions.cursor, statement: Composed, span: Mapping[str, str]) -> None:
    cursor.execute(statement, span)
    (copies,) = cursor.fetchone() or (0,)
    if copies:
        DIFFERING_COPIES.inc(copies)
        log.error("copies of a trade differ", copies=copies, see="differing_trades")


def _insert(
    cursor: psycopg2.extensions.cursor, statements: Statements, span: Mapping[str, str], *, is_sifted: bool
) -> int:
    if is_sifted:
        cursor.execute(statements.insert, EVERYTHING)
        return cursor.rowcount
    cursor.execute(statements.frontier, span)
    frontier = {"frontier": (cursor.fetchone() or ("infinity",))[0]}
    cursor.execute(statements.insert, frontier)
    known = cursor.rowcount
    cursor.execute(statements.insert_later, frontier)
    return known + cursor.rowcount


def _are_marked(
    cursor: psycopg2.extensions.cursor, rule: Rule, statements: Statements, span: Mapping[str, str]
) -> bool:
    """Whether a row that is here already may give way or improve."""
    if not rule.marked:
        return True
    cursor.execute(statements.are_marked, span)
    (are_marked,) = cursor.fetchone() or (True,)
    return bool(are_marked)


def _move_apart(cursor: psycopg2.extensions.cursor, statements: Statements, span: Mapping[str, str]) -> int:
    new = 0
    cursor.execute(statements.move_apart, span)
    while cursor.rowcount:
        cursor.execute(statements.insert, EVERYTHING)
        new += cursor.rowcount
        cursor.execute(statements.move_apart, span)
    return new
