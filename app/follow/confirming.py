"""Telling a gatherer up to where production has its series, events and markets, so that it may drop what is over."""

from app.follow.cursors import system_identifier
from app.postgres.connection import connected
from app.postgres.dsn import Dsn
from app.store.metadata_tables import METADATA_TABLES

READ = """
    SELECT table_name, ingest_id FROM sync_cursors
    WHERE gatherer = %s AND system_identifier = %s AND table_name = ANY (%s)
"""
# Also downwards: another production may have less of it.
CONFIRM = """
    INSERT INTO confirmations AS known (table_name, ingest_id) VALUES (%s, %s)
    ON CONFLICT (table_name) DO UPDATE SET ingest_id = excluded.ingest_id, confirmed_at = now()
    WHERE known.ingest_id <> excluded.ingest_id
"""
NAMES = [table.name for table in METADATA_TABLES]


def confirm_metadata(gatherer: str, source: Dsn, production: Dsn) -> dict[str, int]:
    """Confirm what the follower has stored of this very server. Return up to where, by table."""
    name = f"confirmer {gatherer}"
    with connected(source, name) as session, session, session.cursor() as cursor:
        identifier = system_identifier(cursor)
        with connected(production, name) as connection, connection, connection.cursor() as reading:
            reading.execute(READ, (gatherer, identifier, NAMES))
            through = dict(reading.fetchall())
        for table in NAMES:
            cursor.execute(CONFIRM, (table, through.get(table, 0)))
    return through
