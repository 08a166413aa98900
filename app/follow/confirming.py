"""Tell a gatherer up to where production has its journal, so that it may forget old rows of it."""

from collections.abc import Iterable

from app.follow.cursors import NOTHING, read_through, system_identifier
from app.postgres.connection import Connection, value_of
from app.store.confirmation import NAME_OF_PRODUCTION

CONFIRMED = "SELECT coalesce(max(ingest_id), 0) FROM confirmations WHERE production = %s AND table_name = %s"
CONFIRM = """
    INSERT INTO confirmations (production, table_name, ingest_id) VALUES (%s, %s, %s)
    ON CONFLICT (production, table_name) DO UPDATE SET ingest_id = excluded.ingest_id, confirmed_at = now()
"""


def confirm(session: Connection, production: Connection, gatherer: str, tables: Iterable[str]) -> None:
    """In the session that read them: of a database that is replaced meanwhile, no session survives."""
    name = str(value_of(production, NAME_OF_PRODUCTION))
    with session, session.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ WRITE")
        identifier = system_identifier(cursor)
        for table in tables:
            through = read_through(production, gatherer, table, identifier) or NOTHING
            cursor.execute(CONFIRMED, (name, table))
            if cursor.fetchone() != (through.ingest_id,):
                cursor.execute(CONFIRM, (name, table, through.ingest_id))
    production.commit()
