"""Whether a chunk's rows are safe elsewhere, so that it may be dropped here."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from app.databases import Kind
from app.postgres.connection import Connection, value_of
from app.store.chunks import Chunk, ChunkedTable

OF_BOUND_LAKE = "lake_id = (SELECT lake_id FROM lakes WHERE bound_at IS NOT NULL)"

# At a gatherer: up to where every production that reads it has committed a table, but for those that it was told to
# forget.
CONFIRMED_BY_ALL = """
    SELECT coalesce(min(coalesce(ingest_id, 0)), 0)
    FROM (SELECT DISTINCT production FROM confirmations) AS known
    LEFT JOIN (SELECT * FROM confirmations WHERE table_name = {table}) AS confirmed USING (production)
"""
# By which a gatherer tells a production from others.
NAME_OF_PRODUCTION = "SELECT system_identifier || '/' || current_database() FROM pg_control_system()"

Confirmation = Callable[[Connection, ChunkedTable, Chunk, int], bool]


def deduplicator_has_it(connection: Connection, table: ChunkedTable, _chunk: Chunk, last_ingest_id: int) -> bool:
    """At a gatherer: every production that reads it has committed everything up to the chunk's last row."""
    return int(value_of(connection, CONFIRMED_BY_ALL.format(table="%s"), (table.name,))) >= last_ingest_id


class ConfirmingProduction(NamedTuple):
    production: str  # '': from before productions were told apart
    confirmed_at: datetime
    tables: int


def confirming_productions(connection: Connection) -> list[ConfirmingProduction]:
    """At a gatherer: the productions that read it, the one that was silent longest first."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT production, max(confirmed_at), count(*) FROM confirmations GROUP BY 1 ORDER BY 2")
        return [ConfirmingProduction(*row) for row in cursor.fetchall()]


def forget_production(connection: Connection, production: str) -> bool:
    """Have a gatherer not wait for a production any more. Return whether it was known."""
    with connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM confirmations WHERE production = %s", (production,))
        return cursor.rowcount > 0


def why_not_confirmed(connection: Connection, kind: Kind) -> str:
    """For whoever wonders why chunks stay that are past their age: whom they wait for, and what to do."""
    if kind is Kind.PRODUCTION:
        if value_of(connection, "SELECT count(*) FROM lakes WHERE bound_at IS NOT NULL"):
            return "the lake has not verified them: see kalshi-data lake status"
        return "production is bound to no lake: run the exporter, or kalshi-data lake bind, with KALSHI_LAKE set"
    known = confirming_productions(connection)
    if not known:
        return "no deduplicator has read this gatherer"
    names = ", ".join(f"{each.production or 'unnamed'} (last heard of at {each.confirmed_at:%c})" for each in known)
    return f"not confirmed by each of {names}: kalshi-data confirmations --forget gives up one that is no more"


def lake_has_it(connection: Connection, table: ChunkedTable, chunk: Chunk, last_ingest_id: int) -> bool:
    """In production: the survey of the lake that it is bound to has seen the chunk's last row, and each hour that it
    noted of the chunk was exported there up to its last row, and read back. So were the hours on both sides of it,
    which a row of the chunk may still have to be merged into."""
    surveyed = f"""
        SELECT coalesce(max(ingest_id), 0) FROM export_cursors WHERE {OF_BOUND_LAKE} AND table_name = %s
    """  # noqa: S608 - a constant
    if int(value_of(connection, surveyed, (table.name,))) < last_ingest_id:
        return False
    missing = f"""
        SELECT count(*) FROM exports
        WHERE {OF_BOUND_LAKE} AND table_name = %s AND hour >= %s - INTERVAL '1 hour' AND hour < %s + INTERVAL '1 hour'
            AND (verified_at IS NULL OR through_ingest_id < changed_through)
    """  # noqa: S608
    return int(value_of(connection, missing, (table.name, chunk.range_start, chunk.range_end))) == 0


CONFIRMATIONS: dict[Kind, Confirmation] = {Kind.TIMESERIES: deduplicator_has_it, Kind.PRODUCTION: lake_has_it}
