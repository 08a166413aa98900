"""Tell a gatherer up to where production has its journal and its series, events and markets, so that it may forget
old rows of them."""

from collections.abc import Iterable

import psycopg2.extensions

from app.follow.cursors import NOTHING, read_through, system_identifier
from app.postgres.connection import Connection, connected, value_of
from app.postgres.dsn import Dsn
from app.store.confirmation import NAME_OF_PRODUCTION
from app.store.metadata_tables import METADATA_TABLES

CONFIRMED = "SELECT ingest_id FROM confirmations WHERE production = %s AND table_name = %s"
# Also downwards: production may have been put back to an earlier state.
CONFIRM = """
    INSERT INTO confirmations (production, table_name, ingest_id) VALUES (%s, %s, %s)
    ON CONFLICT (production, table_name) DO UPDATE SET ingest_id = excluded.ingest_id, confirmed_at = now()
"""


def confirm(session: Connection, production: Connection, gatherer: str, tables: Iterable[str]) -> dict[str, int]:
    """In the session that read them: of a database that is replaced meanwhile, no session survives. Return up to where,
    by table."""
    name = str(value_of(production, NAME_OF_PRODUCTION))
    with session, session.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ WRITE")
        identifier = system_identifier(cursor)
        through = {
            table: (read_through(production, gatherer, table, identifier) or NOTHING).ingest_id for table in tables
        }
        for table, ingest_id in through.items():
            _confirm(cursor, name, table, ingest_id)
    production.commit()
    return through


def _confirm(cursor: psycopg2.extensions.cursor, production: str, table: str, ingest_id: int) -> None:
    cursor.execute(CONFIRMED, (production, table))
    # An idle round writes nothing.
    if (cursor.fetchone() or (0,)) != (ingest_id,):
        cursor.execute(CONFIRM, (production, table, ingest_id))


def confirm_metadata(gatherer: str, source: Dsn, production: Dsn) -> dict[str, int]:
    """Confirm what the follower has stored of this very server. Return up to where, by table."""
    name = f"confirmer {gatherer}"
    with connected(source, name) as session, connected(production, name) as connection:
        through = confirm(session, connection, gatherer, [table.name for table in METADATA_TABLES])
    return {table: ingest_id for table, ingest_id in through.items() if ingest_id}
