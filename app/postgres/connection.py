"""The driver, behind one thin module."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import psycopg2.extensions

from app.errors import DatabaseError
from app.postgres.dsn import Dsn

Connection = psycopg2.extensions.connection

CONNECT_TIMEOUT_SECONDS = 10


@contextmanager
def connected(dsn: Dsn, application: str = "kalshi-data") -> Iterator[Connection]:
    """A connection for as long as the block runs. Commits nothing by itself."""
    connection = connect(dsn, application)
    try:
        yield connection
    finally:
        connection.close()


def connect(dsn: Dsn, application: str = "kalshi-data") -> Connection:
    try:
        return psycopg2.connect(
            dsn.reveal(),
            application_name=application,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            options="-c timezone=UTC",
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
        )
    except psycopg2.OperationalError as error:
        raise DatabaseError(
            f"The database {dsn.database or 'named after the user'} cannot be reached.",
            str(error).strip(),
            "check that the server runs and that the connection string in its KALSHI_*_DSN setting is right.",
        ) from error
