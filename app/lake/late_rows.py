"""Merge rows that arrive for an hour when the database no longer has all of the hour's rows.

This happens after the hour's chunk was dropped, or production was restored. The rows are merged into the archived ones
by the rules of production, app/merge/rules.py, with archived rows in the place of stored ones. So no event is there
twice, and an archived row changes only as it would have in production.

Copies of one event may lie on both sides of an hour's end. So rows beside the hour are read too, as far as the rule's
window reaches. Another hour whose archived rows change by that is reported, and has to be written again.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from app.lake.announcements import unarchived
from app.lake.layout import Dataset
from app.merge.rules import RULES, Copies, Rule
from kalshi_data.layout import HOUR

MARK = "ts_missing"
SAMPLES_APART = timedelta(seconds=1)
RULE_OF = {rule.table.name: rule for rule in RULES}


class Span(NamedTuple):
    start: datetime
    end: datetime


class MergeEffect(NamedTuple):
    """The effect of a merge on archived rows."""

    in_hour: int  # rows of the hour itself that were added, removed or changed
    other_hours: list[datetime]


def rule_of(dataset: Dataset) -> Rule:
    """Return the rule by which the dataset's rows are merged. Rows as received are merged by identity alone."""
    return Rule(dataset.table, dataset.identity) if dataset.is_raw else RULE_OF[dataset.table.name]


def window_of(dataset: Dataset) -> timedelta:
    """Return how far apart two copies of one event may be."""
    if dataset.is_raw:
        return timedelta(0)
    copies = rule_of(dataset).copies
    return copies.window if copies else SAMPLES_APART


def around(dataset: Dataset, hour: datetime, windows: int) -> Span:
    beside = windows * window_of(dataset)
    return Span(hour - beside, hour + HOUR + beside)


class LateRows:
    """One merge of an hour, in a session of its own. There, `stored` has the archived rows, and `staging` the late
    ones."""

    def __init__(self, session: duckdb.DuckDBPyConnection, dataset: Dataset, hour: datetime) -> None:
        self._session = session
        self._rule = rule_of(dataset)
        self._hour = hour
        self._archived_span = around(dataset, hour, windows=2)
        self._columns = ", ".join(dataset.table.column_names)
        self._time = dataset.table.time_column

    @property
    def query(self) -> str:
        """Return the query for the hour's rows, after the merge."""
        return f"SELECT {self._columns} FROM stored WHERE {self._within(Span(self._hour, self._hour + HOUR))}"  # noqa: S608

    def store(self, archived: Iterable[Path]) -> None:
        """Load the rows of these objects as stored."""
        session = self._session
        session.read_parquet([str(path) for path in archived], hive_partitioning=False).create_view("archived")
        session.execute(
            f"CREATE TABLE stored AS SELECT {self._columns}, 'kept' AS fate FROM archived "  # noqa: S608
            f"WHERE {self._within(self._archived_span)}"
        )

    def merge(self, fresh: pa.RecordBatchReader) -> MergeEffect:
        """Merge rows of the hour, and of one window beside it, into the stored ones. Return the effect."""
        session, time = self._session, self._time
        session.register("stream", fresh)
        session.execute(f"CREATE TABLE staging AS SELECT {self._columns} FROM stream")  # noqa: S608
        session.execute("CREATE TABLE withdrawn AS FROM stored LIMIT 0")
        if self._rule.are_announcements:
            self._insert_announcements()
        else:
            self._apply_rule()
        changed = "FROM stored WHERE fate <> 'kept' UNION ALL FROM withdrawn"
        hour = f"epoch(date_trunc('hour', {time}))::BIGINT"
        touched = session.execute(f"SELECT {hour}, fate, count(*) FROM ({changed}) GROUP BY ALL").fetchall()  # noqa: S608
        return self._effect(touched)

    def _apply_rule(self) -> None:
        if copies := self._rule.copies:
            self._take_best_times(copies)
            if copies.withdrawn:
                self._withdraw(copies, copies.withdrawn)
        self._insert()
        if self._rule.is_sample:
            self._move_apart()
        self._improve()

    def _insert_announcements(self) -> None:
        """Add the announcements that are no event of the lake. Archived rows stay, with their times."""
        archived, fresh = (
            self._session.sql(f"SELECT {self._columns} FROM {name} ORDER BY rowid").to_arrow_table()  # noqa: S608
            for name in ("stored", "staging")
        )
        for row, nth in unarchived(archived, fresh):
            self._session.execute(
                "INSERT INTO stored BY NAME SELECT * REPLACE (? AS nth), 'new' AS fate FROM staging WHERE rowid = ?",
                (nth, row),
            )

    def _effect(self, touched: list[tuple[int, str, int]]) -> MergeEffect:
        hours = [(datetime.fromtimestamp(second, UTC), fate, rows) for second, fate, rows in touched]
        # A new row beside the hour is a row of the database there: its own hour is written again for that anyway.
        others = {hour for hour, fate, _ in hours if fate != "new" and hour != self._hour}
        return MergeEffect(sum(rows for hour, _, rows in hours if hour == self._hour), sorted(others))

    def _take_best_times(self, copies: Copies) -> None:
        has_mark = MARK in self._rule.table.column_names
        identity, mark = ", ".join(copies.identity), MARK if has_mark else f"FALSE AS {MARK}"
        time, window = self._time, _sql(copies.window)
        self._session.execute(f"""
            CREATE TABLE best AS
            SELECT DISTINCT ON (seeker.place) seeker.place, candidate.{time}, candidate.{MARK}
            FROM (SELECT rowid AS place, * FROM staging AS seeker WHERE {copies.seeking}) AS seeker
            JOIN (
                SELECT {identity}, {time}, {mark}, TRUE AS is_staged FROM staging
                UNION ALL SELECT {identity}, {time}, {mark}, FALSE FROM stored
            ) AS candidate
                ON {_equal(copies.identity, "candidate", "seeker")}
                AND candidate.{time} BETWEEN seeker.{time} - {window} AND seeker.{time} + {window}
            ORDER BY seeker.place, {copies.best}
        """)  # noqa: S608 - of our own rules
        self._session.execute(f"""
            UPDATE staging SET {time} = best.{time}{f", {MARK} = best.{MARK}" if has_mark else ""}
            FROM best WHERE staging.rowid = best.place AND staging.{time} <> best.{time}
        """)  # noqa: S608

    def _withdraw(self, copies: Copies, withdrawn: str) -> None:
        time, window, columns = self._time, _sql(copies.window), self._rule.table.column_names
        happened = {time: "happened_at", MARK: "FALSE"}
        self._session.execute(f"""
            CREATE TABLE giving_way AS
            SELECT DISTINCT ON (stored.rowid) stored.rowid AS place, stored.*, staged.{time} AS happened_at
            FROM stored JOIN staging AS staged ON {_equal(copies.identity, "stored", "staged")}
                AND stored.{time} BETWEEN staged.{time} - {window} AND staged.{time} + {window}
            WHERE {withdrawn}
            ORDER BY stored.rowid, staged.{time}
        """)  # noqa: S608
        values = ", ".join(happened.get(name, name) for name in columns)
        self._session.execute(f"INSERT INTO staging ({self._columns}) SELECT {values} FROM giving_way")  # noqa: S608
        self._session.execute(f"INSERT INTO withdrawn SELECT {self._columns}, 'withdrawn' FROM giving_way")  # noqa: S608
        self._session.execute("DELETE FROM stored WHERE rowid IN (SELECT place FROM giving_way)")

    def _insert(self) -> None:
        key, order = ", ".join(self._rule.key), ", ".join((*self._rule.key, *self._rule.preferred, "received_at"))
        self._session.execute(f"""
            INSERT INTO stored
            SELECT DISTINCT ON ({key}) {self._columns}, 'new' FROM staging AS copy
            WHERE NOT EXISTS (SELECT 1 FROM stored WHERE {_equal(self._rule.key, "stored", "copy")})
            ORDER BY {order}
        """)  # noqa: S608

    def _move_apart(self) -> None:
        move = f"""
            UPDATE staging SET {self._time} = staging.{self._time} + INTERVAL '1 microsecond' FROM stored
            WHERE {_equal(self._rule.key, "stored", "staging")} AND stored.levels_digest <> staging.levels_digest
        """  # noqa: S608
        while _changed(self._session.execute(move)):
            self._insert()

    def _improve(self) -> None:
        if improvement := self._rule.improvement:
            self._session.execute(f"""
                UPDATE stored SET {improvement.columns}, fate = CASE fate WHEN 'new' THEN 'new' ELSE 'improved' END
                FROM ({improvement.copy}) AS copy
                WHERE {_equal(self._rule.key, "stored", "copy")} AND ({improvement.applies})
            """)  # noqa: S608

    def _within(self, span: Span) -> str:
        start, end = (f"TIMESTAMPTZ '{moment.isoformat()}'" for moment in span)
        return f"{self._time} >= {start} AND {self._time} < {end}"


def _equal(names: Iterable[str], left: str, right: str) -> str:
    return " AND ".join(f"{left}.{name} = {right}.{name}" for name in names)


def _sql(window: timedelta) -> str:
    return f"INTERVAL '{window.total_seconds():.0f} seconds'"


def _changed(done: duckdb.DuckDBPyConnection) -> int:
    (row,) = done.fetchall()
    return int(row[0])
