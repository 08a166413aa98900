"""The driver, behind one thin module."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2
import psycopg2.errors
import psycopg2.extensions
from psycopg2.sql import Composable

from app.errors import DatabaseError
from app.postgres.dsn import Dsn

Connection = psycopg2.extensions.connection

NOT_MIGRATED = (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn, psycopg2.errors.UndefinedFunction)
# A database that is read-only, as one is that was replaced by another, fails for a while like one that is away.
FAILED_AT_WORK = (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.errors.ReadOnlySqlTransaction)

# What the user's connection string does not say itself.
DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}


@contextmanager
def connected(dsn: Dsn, application: str = "kalshi-data") -> Iterator[Connection]:
    """A connection for as long as the block runs. Commits nothing by itself."""
    connection = connect(dsn, application)
    try:
        yield connection
    except FAILED_AT_WORK as error:
        raise DatabaseError(f"The database {dsn.database} failed at work.", str(error).strip()) from error
    except psycopg2.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            f"The account may not do in the database {dsn.database} what it has to.",
            str(error).strip(),
            "grant it what the playbooks grant: see platform_databases in ansible/roles/platform/defaults/main.yml.",
        ) from error
    except NOT_MIGRATED as error:
        raise DatabaseError(
            # Below the first line it quotes our own query.
            f"The database {dsn.database} has another schema.",
            str(error).strip().split("\n")[0],
            "run kalshi-data migrate.",
        ) from error
    finally:
        connection.close()


def connect(dsn: Dsn, application: str = "kalshi-data") -> Connection:
    try:
        connection: Connection = psycopg2.connect(parameters(dsn, application))
    except psycopg2.OperationalError as error:
        raise DatabaseError(
            f"The database {dsn.database or 'named after the user'} cannot be reached.",
            str(error).strip(),
            "check that the server runs and that the connection string in its KALSHI_*_DSN setting is right.",
        ) from error
    return connection


def parameters(dsn: Dsn, application: str) -> str:
    """What libpq is told, by whichever driver."""
    given = psycopg2.extensions.parse_dsn(dsn.reveal())
    # Sessions compute with times in UTC; the user's own options stay beside that.
    options = f"{given.pop('options', '')} -c timezone=UTC".strip()
    arguments = {**DEFAULTS, "application_name": application, **given, "options": options}
    dsn_text: str = psycopg2.extensions.make_dsn(**arguments)
    return dsn_text


def value_of(
    connection: Connection, query: str | Composable, parameters: Sequence[Any] | Mapping[str, Any] | None = None
) -> Any:  # noqa: ANN401 - as the database has it
    """The one value that a query answers with."""
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        row = cursor.fetchone()
    if row is None:
        raise DatabaseError("A query that always has an answer had none.", str(query))
    return row[0]
