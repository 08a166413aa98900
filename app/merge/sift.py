"""Rows that production refuses are put aside, by the very constraints that refuse them."""

import io
from collections.abc import Sequence

import psycopg2.extensions
from psycopg2 import sql

from app.clock import now_us
from app.merge.binary_rows import content_of, received_us_of, split_rows
from app.store.bisect import store_what_fits
from app.store.quarantine import RefusedRow, quarantine
from app.store.tables import Table

LOAD = "COPY staging ({}) FROM STDIN (FORMAT binary)"
READ_SIZE = 1 << 20
CHECKS = """
    SELECT conname, pg_get_expr(conbin, conrelid) FROM pg_constraint
    WHERE conrelid = %s::REGCLASS AND contype = 'c' ORDER BY conname
"""
# A row in quarantine is not heard: sql/production/0038_judged.sql
SIFT = sql.SQL("""
    WITH refused AS (DELETE FROM staging WHERE {is_refused} RETURNING *),
    kept AS (
        INSERT INTO quarantine (table_name, reason, payload)
        SELECT %(table)s, %(reason)s, convert_to(row_to_json(refused)::TEXT, 'UTF8') FROM refused
        RETURNING quarantine_id, convert_from(payload, 'UTF8')::JSON AS content
    )
    INSERT INTO gatherer_refusals (quarantine_id, gatherer, table_name, ticker, started_at, ended_at)
    SELECT quarantine_id, %(gatherer)s, %(table)s, coalesce(content ->> 'ticker', ''), lower(happened), upper(happened)
    FROM kept, happened_between(
        %(gatherer)s, (content ->> %(time)s)::TIMESTAMPTZ, (content ->> 'received_at')::TIMESTAMPTZ
    ) AS happened
""")
NOTE_UNREADABLE = """
    INSERT INTO gatherer_refusals (quarantine_id, gatherer, table_name, ticker, started_at, ended_at)
    SELECT
        currval(pg_get_serial_sequence('quarantine', 'quarantine_id')), %(gatherer)s, %(table)s, '',
        lower(happened), upper(happened)
    FROM happened_between(
        %(gatherer)s, NULL, TIMESTAMPTZ 'epoch' + %(received_us)s * INTERVAL '1 microsecond'
    ) AS happened
"""


def load(cursor: psycopg2.extensions.cursor, table: Table, content: bytes) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, ("source_ingest_id", *table.column_names)))
    cursor.copy_expert(sql.SQL(LOAD).format(columns), io.BytesIO(content), READ_SIZE)


def sift_staged(cursor: psycopg2.extensions.cursor, table: Table, gatherer: str) -> int:
    """How many of the rows in staging went to quarantine; those of other gatherers have been sifted already."""
    cursor.execute(CHECKS, (table.name,))
    checks = [(name, sql.SQL("({}) IS FALSE").format(sql.SQL(expression))) for name, expression in cursor.fetchall()]
    nulls = [
        (f"{column.name} is missing", sql.SQL("{} IS NULL").format(sql.Identifier(column.name)))
        for column in table.columns
        if not column.nullable
    ]
    refused = 0
    for reason, is_refused in (*nulls, *checks):
        about = {"gatherer": gatherer, "table": table.name, "time": table.time_column, "reason": reason}
        cursor.execute(SIFT.format(is_refused=is_refused), about)
        refused += cursor.rowcount
    return refused


def stage_what_fits(
    cursor: psycopg2.extensions.cursor, table: Table, content: bytes, unfit: tuple[type[Exception], ...], gatherer: str
) -> int:
    """Loads rows of which some cannot even be read as their columns' types; how many went to quarantine."""
    refused: list[str] = []

    def stage(rows: Sequence[bytes]) -> int:
        cursor.execute("SAVEPOINT staging_part")
        try:
            load(cursor, table, content_of(rows))
        except unfit:
            cursor.execute("ROLLBACK TO SAVEPOINT staging_part")
            raise
        cursor.execute("RELEASE SAVEPOINT staging_part")
        return len(rows)

    def reject(row: bytes, error: Exception) -> None:
        refused.append(str(error).strip())
        reason = f"{refused[-1]} (of {gatherer}, as COPY's binary form)"
        quarantine(cursor, [RefusedRow(now_us(), table.name, reason, row)])
        about = {"gatherer": gatherer, "table": table.name, "received_us": received_us_of(row)}
        cursor.execute(NOTE_UNREADABLE, about)

    store_what_fits(list(split_rows(content)), stage, reject, unfit)
    return len(refused)
