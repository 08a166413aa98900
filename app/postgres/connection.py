"""Connections of psycopg2, with errors that state the fix to the operator.

DatabaseError replaces the driver's errors wherever they mean an unreachable, unmigrated or unprivileged database.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg2
import psycopg2.errors
import psycopg2.extensions
from psycopg2.sql import Composable

from app.errors import DatabaseError
from app.postgres.dsn import Dsn
from app.runtime.threads import Offload

Connection = psycopg2.extensions.connection

NOT_MIGRATED = (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn, psycopg2.errors.UndefinedFunction)
# A read-only database counts as unreachable: a server that was replaced by another is read-only for a while.
FAILED_AT_WORK = (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.errors.ReadOnlySqlTransaction)

# Used for everything that the user's connection string does not state.
DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}


@contextmanager
def connected(dsn: Dsn, application: str = "kalshi-data") -> Iterator[Connection]:
    """Yield a connection for as long as the block runs. It does not commit."""
    connection = connect(dsn, application)
    try:
        yield connection
    except FAILED_AT_WORK as error:
        raise DatabaseError(f"The database {dsn.database} failed during a query.", str(error).strip()) from error
    except psycopg2.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            f"The database role lacks rights in the database {dsn.database}.",
            str(error).strip(),
            "grant the rights of platform_databases in ansible/roles/platform/defaults/main.yml.",
        ) from error
    except NOT_MIGRATED as error:
        raise DatabaseError(
            # Only the first line: the rest quotes our own query.
            f"The database {dsn.database} has a different schema version.",
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
    """Return the parameters for libpq, the same for every driver."""
    given = psycopg2.extensions.parse_dsn(dsn.reveal())
    # Sessions compute times in UTC; the user's own options are kept beside that.
    options = f"{given.pop('options', '')} -c timezone=UTC".strip()
    arguments = {**DEFAULTS, "application_name": application, **given, "options": options}
    dsn_text: str = psycopg2.extensions.make_dsn(**arguments)
    return dsn_text


def value_of(
    connection: Connection, query: str | Composable, parameters: Sequence[Any] | Mapping[str, Any] | None = None
) -> Any:  # noqa: ANN401 - as the database has it
    """Return the single value of a query's result."""
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        row = cursor.fetchone()
    if row is None:
        raise DatabaseError("A query returned no row.", str(query))
    return row[0]


class KeptConnection:
    """A connection for successive tasks, opened when there is none.

    It is closed after any error in a task, because its state is unknown then.
    """

    def __init__(self, connect: Callable[[], Connection], failure: str, fix: str = "run kalshi-data migrate.") -> None:
        self._connect = connect
        self._failure = failure
        self._fix = fix
        self._connection: Connection | None = None

    @contextmanager
    def opened(self) -> Iterator[Connection]:
        with self._given_up_after_errors():
            if self._connection is None:
                self._connection = self._connect()
            yield self._connection

    @contextmanager
    def still_open(self) -> Iterator[Connection]:
        """Yield the connection of an earlier task, for what needs the same session, its locks above all."""
        with self._given_up_after_errors():
            if self._connection is None:
                raise DatabaseError(self._failure, "Its connection was closed after it had been opened.")
            yield self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _given_up_after_errors(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.close()
            if isinstance(error, psycopg2.Error):
                fix = self._fix if isinstance(error, NOT_MIGRATED) else ""
                raise DatabaseError(self._failure, str(error).strip(), fix) from error
            raise


Answer = TypeVar("Answer")


class Asker:
    """Ask a database occasional questions, each over a new connection: no failure of an earlier one matters."""

    def __init__(self, dsn: Dsn, application: str, offload: Offload) -> None:
        self._dsn = dsn
        self._application = application
        self._offload = offload

    def __call__(self, question: Callable[[Connection], Answer]) -> Answer:
        return self._offload(self._ask, question)

    def _ask(self, question: Callable[[Connection], Answer]) -> Answer:
        with connected(self._dsn, self._application) as connection:
            return question(connection)


# The server's side of a connection: the locks of a dead host are released within half a minute. Without these settings,
# the server keeps them for two hours if the peer is silent, and for a quarter of an hour if it does not acknowledge
# data.
FREED_IN_TIME = """
    SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 2;
    SET tcp_user_timeout = 20000
"""


@contextmanager
def claimed(connection: Connection, work: str) -> Iterator[bool]:
    """Yield whether this connection is the only one to do this work while the block runs.

    With several processes, each piece of work is done by one, and by another one when that ends. After an error the
    connection keeps the claim until it is closed.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(FREED_IN_TIME)
        is_ours = bool(value_of(connection, "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (work,)))
    yield is_ours
    if is_ours:
        with connection:
            value_of(connection, "SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (work,))
