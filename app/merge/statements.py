"""The merge rules as SQL, and the steps that apply them.

Statements work on the table `staging`, which holds the rows just read. They take the first and the last time that can
matter as literals, so that PostgreSQL plans them for the chunks of these times alone, out of years of chunks.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

import psycopg2.extensions
from psycopg2 import sql
from psycopg2.sql import Composable, Composed

from app.merge.announcements import merge_announcements
from app.merge.rules import Copies, Improvement, Rule
from app.metrics.deduplicator import DIFFERING_COPIES
from app.runtime import logs
from app.storage.arrivals import TABLE_LOCK

MARK = "ts_missing"
MOST_DIFFERING = 100_000
LEAST_WINDOW = timedelta(seconds=1)
# Compressed rows are sorted by market: bounds on the market limit how many of a day's rows are decompressed.
AMONG_MARKETS = "AND stored.ticker BETWEEN %(first_ticker)s AND %(last_ticker)s"
EVERYWHERE = sql.SQL("")


class RowChange(NamedTuple):
    """A change of stored rows, in a plain form and one for compressed chunks.

    An UPDATE or DELETE decompresses all rows that it cannot exclude, and leaves them decompressed. So for compressed
    chunks a query first finds the bounds of the rows to change.
    """

    everywhere: Composed
    find: Composed  # the bounds of the rows that would change; NULL if there is none
    among_markets: Composed


class MergeStatements:
    """The SQL statements of one rule, composed once for all rounds."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        columns = rule.table.column_names
        self._names = {
            "table": sql.Identifier(rule.table.name),
            "literal": sql.Literal(rule.table.name),
            "time": sql.Identifier(rule.table.time_column),
            "columns": _listed(columns),
            "gatherer": sql.SQL(", ''::TEXT AS gatherer" if rule.are_announcements else ""),
            "key": _listed(rule.key),
            "order": _listed((*rule.key, *rule.preferred)),
            "same_key": _equal(rule.key, "stored", "copy"),
        }
        self._stage(rule)
        self._insert()
        self.are_marked = sql.SQL("SELECT {}").format(sql.SQL(" OR ").join(map(self._is_marked, rule.marked)))
        self.take_best_times = self._take_best_times(rule.copies) if rule.copies else None
        self.withdraw = self._withdraw(rule.copies) if rule.copies and rule.copies.withdrawn else None
        self.improve = self._improve(rule.improvement) if rule.improvement else None
        self.note_differing = self._note_differing(rule.told) if rule.told else None
        self.move_apart = self._statement("""
            UPDATE staging AS copy SET {time} = copy.{time} + INTERVAL '1 microsecond' FROM {table} AS stored
            WHERE {same_key} AND stored.levels_digest <> copy.levels_digest
                AND stored.{time} BETWEEN %(first)s AND %(last)s
        """)
        self.days = self._statement("""
            SELECT DISTINCT date_bin('1 day', {time}, TIMESTAMPTZ '2000-01-01 00:00:00+00') FROM staging
        """)
        self.ensure_chunk = self._statement("SELECT ensure_chunk({literal}, %s)")

    def _stage(self, rule: Rule) -> None:
        self.create_staging = self._statement("""
            CREATE TEMPORARY TABLE staging ON COMMIT DELETE ROWS AS
            SELECT 0::BIGINT AS source_ingest_id, {columns}{gatherer} FROM {table} WITH NO DATA
        """)
        self.name_gatherer = sql.SQL("UPDATE staging SET gatherer = %s WHERE gatherer IS NULL")
        # Without the lock, a transaction that began earlier could commit later, and a reader by ingest_id would miss
        # its rows.
        self.lock_table = self._statement(f"SELECT pg_advisory_xact_lock({TABLE_LOCK % '{literal}'})")
        # As text: times of a row that is still to be refused may be outside what Python can represent.
        self.survey = self._statement(
            """
            SELECT
                (min({time}) - {window})::TEXT, (max({time}) + {window})::TEXT, coalesce(bool_or({seeking}), FALSE),
                min({time}) - {window} < (SELECT compressed_until FROM chunked_tables WHERE table_name = {literal})
            FROM staging AS seeker
            """,
            window=sql.Literal(rule.copies.window if rule.copies else LEAST_WINDOW),
            seeking=sql.SQL(rule.copies.seeking if rule.copies else "FALSE"),
        )

    def _insert(self) -> None:
        self.frontier = self._statement("""
            SELECT coalesce(max({time}), '-infinity')::TEXT FROM {table} WHERE {time} BETWEEN %(first)s AND %(last)s
        """)
        # Rows later than all stored ones cannot conflict, and skipping the check saves an eighth of a merge. The
        # table's lock keeps other writers out meanwhile.
        self.insert_later = self._statement("""
            INSERT INTO {table} ({columns}) SELECT DISTINCT ON ({key}) {columns} FROM staging
            WHERE {time} > %(frontier)s ORDER BY {order}
        """)
        self.insert = self._statement("""
            INSERT INTO {table} ({columns}) SELECT DISTINCT ON ({key}) {columns} FROM staging
            WHERE {time} <= %(frontier)s ORDER BY {order}
            ON CONFLICT DO NOTHING
        """)

    def _is_marked(self, flag: str) -> Composed:
        """Return a condition: a row of the span has this flag. Each flag has a partial index of the rows where it is
        set."""
        return self._statement(
            "EXISTS (SELECT FROM {table} WHERE {flag} AND {time} BETWEEN %(first)s AND %(last)s)",
            flag=sql.Identifier(flag),
        )

    def _take_best_times(self, copies: Copies) -> Composed:
        has_mark = MARK in self._rule.table.column_names
        mark = sql.Identifier(MARK) if has_mark else sql.SQL("FALSE AS ts_missing")
        return self._statement(
            """
            UPDATE staging SET {time} = best.{time}{set_mark}
            FROM (
                SELECT DISTINCT ON (seeker.ctid) seeker.ctid AS place, candidate.{time}, candidate.ts_missing
                FROM staging AS seeker
                JOIN (
                    SELECT {identity}, {time}, {mark}, TRUE AS is_staged FROM staging
                    UNION ALL
                    SELECT {identity}, {time}, {mark}, FALSE FROM {table}
                    WHERE {time} BETWEEN %(first)s AND %(last)s
                ) AS candidate
                    ON {same} AND candidate.{time} BETWEEN seeker.{time} - {window} AND seeker.{time} + {window}
                WHERE {seeking}
                ORDER BY seeker.ctid, {best}
            ) AS best
            WHERE staging.ctid = best.place AND staging.{time} <> best.{time}
            """,
            identity=_listed(copies.identity),
            mark=mark,
            set_mark=sql.SQL(", ts_missing = best.ts_missing" if has_mark else ""),
            same=_equal(copies.identity, "candidate", "seeker"),
            window=sql.Literal(copies.window),
            seeking=sql.SQL(copies.seeking),
            best=sql.SQL(copies.best),
        )

    def _withdraw(self, copies: Copies) -> RowChange:
        """Build the change that moves rows with a better time in staging back there. The export of their hours is
        reset, so that the lake's exporter writes them again."""
        happened = {self._rule.table.time_column: sql.SQL("happened_at"), MARK: sql.SQL("FALSE")}
        gives_way = self._statement(
            """
            {same} AND stored.{time} BETWEEN %(first)s AND %(last)s AND {withdrawn}
                AND stored.{time} BETWEEN staged.{time} - {window} AND staged.{time} + {window}
            """,
            same=_equal(copies.identity, "stored", "staged"),
            window=sql.Literal(copies.window),
            withdrawn=sql.SQL(copies.withdrawn or "FALSE"),
        )
        return self._change(
            """
            WITH withdrawn AS (
                DELETE FROM {table} AS stored USING staging AS staged
                WHERE {applies} {where}
                RETURNING stored.*, staged.{time} AS happened_at
            ), reopened AS (
                UPDATE exports SET through_ingest_id = 0, verified_at = NULL FROM withdrawn
                WHERE exports.table_name = {literal} AND exports.hour = date_bin('1 hour', withdrawn.{time}, 'epoch')
            )
            INSERT INTO staging ({columns}) SELECT {values} FROM withdrawn
            """,
            of=sql.SQL("staging AS staged"),
            applies=gives_way,
            values=sql.SQL(", ").join(
                happened.get(name, sql.Identifier(name)) for name in self._rule.table.column_names
            ),
        )

    def _improve(self, improvement: Improvement) -> RowChange:
        """Build the change that improves rows. A changed row gets a new ingest_id, so that readers by ingest_id see
        it."""
        return self._change(
            "UPDATE {table} AS stored SET {changes}, ingest_id = DEFAULT FROM {of} WHERE {applies} {where}",
            of=sql.SQL("({}) AS copy").format(sql.SQL(improvement.copy)),
            applies=self._statement(
                "{same_key} AND stored.{time} BETWEEN %(first)s AND %(last)s AND ({better})",
                better=sql.SQL(improvement.applies),
            ),
            changes=sql.SQL(improvement.columns),
        )

    def _change(self, text: str, *, of: Composable, applies: Composed, **more: Composable) -> RowChange:
        """Build a change of the stored rows for which a row of `of` exists that `applies` to them."""
        find = """
            SELECT min(stored.{time})::TEXT AS first, max(stored.{time})::TEXT AS last,
                min(stored.ticker) AS first_ticker, max(stored.ticker) AS last_ticker
            FROM {table} AS stored, {of} WHERE {applies}
        """
        names = {"of": of, "applies": applies, **more}
        return RowChange(
            self._statement(text, where=EVERYWHERE, **names),
            self._statement(find, of=of, applies=applies),
            self._statement(text, where=sql.SQL(AMONG_MARKETS), **names),
        )

    def _note_differing(self, told: tuple[str, ...]) -> Composed:
        """Build the statement that stores both versions of differing rows, up to MOST_DIFFERING, and counts the
        differing rows."""
        columns = ("trade_id", *told, "from_rest", "exchange_ts", "ticker")
        return self._statement(
            """
            WITH differing AS (
                SELECT version.* FROM staging AS copy
                JOIN {table} AS stored ON {same_key} AND stored.{time} BETWEEN %(first)s AND %(last)s
                CROSS JOIN LATERAL (VALUES ({of_copy}), ({of_stored})) AS version ({of_version})
                WHERE ({told_by_copy}) IS DISTINCT FROM ({told_by_stored})
            ), kept AS (
                INSERT INTO differing_trades ({of_version}) SELECT {of_version} FROM differing
                WHERE (SELECT count(*) FROM (SELECT FROM differing_trades LIMIT {most}) AS known) < {most}
                ON CONFLICT DO NOTHING
            )
            SELECT count(*) / 2 FROM differing
            """,
            of_copy=_of("copy", columns),
            of_stored=_of("stored", columns),
            of_version=_listed(columns),
            told_by_copy=_of("copy", told),
            told_by_stored=_of("stored", told),
            most=sql.Literal(MOST_DIFFERING),
        )

    def _statement(self, text: str, **more: Composable) -> Composed:
        return sql.SQL(text).format(**self._names, **more)


def _listed(names: tuple[str, ...]) -> Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _of(alias: str, names: tuple[str, ...]) -> Composed:
    return sql.SQL(", ").join(sql.Identifier(alias, name) for name in names)


def _equal(names: tuple[str, ...], left: str, right: str) -> Composed:
    pairs = (sql.SQL("{} = {}").format(sql.Identifier(left, name), sql.Identifier(right, name)) for name in names)
    return sql.SQL(" AND ").join(pairs)


# The steps by which staged rows become production's. Callers are the merger, and the admin service for a row from
# quarantine. The caller holds the table's lock.

log = logs.get(__name__)

# A late row may meet more rows of a compressed day than TimescaleDB decompresses in a transaction by default.
OPEN_WHAT_IT_TAKES = "SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0"
EVERYTHING = {"frontier": "infinity"}


class Staged(NamedTuple):
    """The properties of the staged rows that decide which steps they need. There is at least one row."""

    span: Mapping[str, str]  # the first and the last time that can matter
    are_seeking: bool  # a row looks for a copy with a better time
    meet_compressed: bool  # rows of production in the span may be compressed


def apply_rule(cursor: psycopg2.extensions.cursor, rule: Rule, statements: MergeStatements, *, is_sifted: bool) -> int:
    """Apply the rule to the staged rows (app/merge/rules.py explains the steps). Return how many of them were new."""
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


def _survey(cursor: psycopg2.extensions.cursor, statements: MergeStatements) -> Staged | None:
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
    cursor: psycopg2.extensions.cursor, statements: MergeStatements, span: Mapping[str, str], *, is_sifted: bool
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
    cursor: psycopg2.extensions.cursor, rule: Rule, statements: MergeStatements, span: Mapping[str, str]
) -> bool:
    """Return whether a stored row of the span may have to be withdrawn or improved."""
    if not rule.marked:
        return True
    cursor.execute(statements.are_marked, span)
    (are_marked,) = cursor.fetchone() or (True,)
    return bool(are_marked)


def _move_apart(cursor: psycopg2.extensions.cursor, statements: MergeStatements, span: Mapping[str, str]) -> int:
    new = 0
    cursor.execute(statements.move_apart, span)
    while cursor.rowcount:
        cursor.execute(statements.insert, EVERYTHING)
        new += cursor.rowcount
        cursor.execute(statements.move_apart, span)
    return new
