"""Tables of a gatherer that production keeps a copy of, as far as rows of several gatherers do not need to be merged by
what they record: what it knows of the exchange, and what it knows of its own recording."""

from typing import NamedTuple

from psycopg2 import sql

from app.store.arrivals import TABLE_LOCK
from app.store.journal_tables import GAPS, SUBSCRIPTIONS
from app.store.metadata_tables import EVENTS, MARKETS, SERIES
from app.store.tables import Table

# What proves later that a table is still the one that was read: its newest time, or the row read last.
NEWEST_US = "(extract(epoch FROM max({time})) * 1000000)::BIGINT"
DIGEST = "hashtextextended(ROW({columns})::TEXT, 0)"
LAST_DIGEST = "(array_agg({digest} ORDER BY source_ingest_id DESC))[1]"
# No row up to the one read last is newer than those that were read, unless an older state gave ids to other rows.
HAS_NEWER = """
    SELECT %(ingest_id)s > (SELECT coalesce(max(ingest_id), 0) FROM {source}) OR EXISTS (
        SELECT FROM {source} WHERE ingest_id <= %(ingest_id)s
            AND {time} > TIMESTAMPTZ 'epoch' + %(probe)s * INTERVAL '1 microsecond'
    )
"""
# The row read last may have got another id since, and old ones are dropped; but no other row ever gets its id.
HAS_ANOTHER = """
    SELECT %(ingest_id)s > last_id_given({literal_source}) OR EXISTS (
        SELECT FROM {source} WHERE ingest_id = %(ingest_id)s AND {digest} <> %(probe)s
    )
"""


class Copy(NamedTuple):
    source: Table
    target: str
    replaces: str  # when a row that is here already is replaced
    is_per_gatherer: bool
    is_read_on: bool  # others read the target by its own ingest_id


def _metadata(table: Table, exchange_time: str) -> Copy:
    """The exchange's own word on what is newer comes first: its answers may be cached ones. Then ours.

    Between answers without such a word, or with the same one, a cached answer or a fast clock may win: until that
    gatherer asks again behind the cache, 20 seconds after every announcement, opening and closing. An order by status
    instead would keep the exchange from going back, as it does when it amends. This one is total: whichever gatherer is
    read first, and however often, all end with the same row.
    """
    newer = f"(coalesce(excluded.{exchange_time}, '-infinity'), excluded.updated_at)"
    older = f"(coalesce(target.{exchange_time}, '-infinity'), target.updated_at)"
    return Copy(table, table.name, f"{newer} > {older}", is_per_gatherer=False, is_read_on=True)


def _journal(table: Table) -> Copy:
    """Only one ever writes these rows, but a database that was restored is read from its beginning."""
    rest = [name for name in table.column_names if name not in table.key]
    newer, older = (", ".join(f"{row}.{name}" for name in rest) for row in ("excluded", "target"))
    target = f"gatherer_{table.name}"
    return Copy(table, target, f"({newer}) IS DISTINCT FROM ({older})", is_per_gatherer=True, is_read_on=False)


METADATA_COPIES = (
    _metadata(SERIES, "last_updated_ts"),
    _metadata(EVENTS, "last_updated_ts"),
    _metadata(MARKETS, "updated_time"),
)
JOURNAL_COPIES = (_journal(SUBSCRIPTIONS), _journal(GAPS))


class Statements:
    """Of one copy. `gatherer` is a parameter throughout, and unused where the target has no such column."""

    def __init__(self, copy: Copy) -> None:
        self._values = values = _values(copy)

        def statement(text: str) -> sql.Composed:
            return sql.SQL(text).format(**values)

        self.create_staging = statement(
            "CREATE TEMPORARY TABLE IF NOT EXISTS {staging} ON COMMIT DELETE ROWS AS "
            "SELECT 0::BIGINT AS source_ingest_id, {columns} FROM {target} WITH NO DATA"
        )
        self.load = statement("COPY {staging} FROM STDIN (FORMAT binary)")
        self.load_without_ids = statement("COPY {staging} ({columns}) FROM STDIN (FORMAT binary)")
        self.lock = statement(f"SELECT pg_advisory_xact_lock({TABLE_LOCK % '{literal}'})")
        self.merge = statement("""
            INSERT INTO {target} AS target ({written})
            SELECT {selected}{columns} FROM {staging}
            ON CONFLICT ({key}) DO UPDATE SET {changes} WHERE {replaces}
        """)
        self.progress = statement("SELECT count(*), coalesce(max(source_ingest_id), 0), {probe} FROM {staging}")
        self.is_older = statement(HAS_ANOTHER if copy.is_per_gatherer else HAS_NEWER)

    def read(self, after: int, rows: int) -> sql.Composed:
        """COPY takes no parameters."""
        return sql.SQL(
            "COPY (SELECT ingest_id, {columns} FROM {source} WHERE ingest_id > {after} ORDER BY ingest_id LIMIT {rows})"
            " TO STDOUT (FORMAT binary)"
        ).format(after=sql.Literal(after), rows=sql.Literal(rows), **self._values)


def _values(copy: Copy) -> dict[str, sql.Composable]:
    names = copy.source.column_names
    own = ("gatherer",) if copy.is_per_gatherer else ()
    changing = [name for name in names if name not in copy.source.key]
    time, digest = sql.Identifier(copy.source.time_column), sql.SQL(DIGEST).format(columns=_names(names))
    return {
        "source": sql.Identifier(copy.source.name),
        "target": sql.Identifier(copy.target),
        "staging": sql.Identifier(f"staging_{copy.target}"),
        "columns": _names(names),
        "time": time,
        "digest": digest,
        "probe": sql.SQL(LAST_DIGEST if copy.is_per_gatherer else NEWEST_US).format(time=time, digest=digest),
        "literal_source": sql.Literal(copy.source.name),
        "written": _names((*own, *names)),
        "selected": sql.SQL("%(gatherer)s, " if copy.is_per_gatherer else ""),
        "key": _names((*own, *copy.source.key)),
        "changes": sql.SQL(", ").join(
            [sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in changing]
            + ([sql.SQL("ingest_id = DEFAULT")] if copy.is_read_on else [])
        ),
        "replaces": sql.SQL(copy.replaces),
        "literal": sql.Literal(copy.target),
    }


def _names(names: tuple[str, ...]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))
