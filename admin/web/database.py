"""The production database, for requests: few connections, each used by one request at a time.

Reads use a pool of read-only connections with a time limit. Changes run in a transaction that also records their
author.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
import psycopg2
import psycopg2.errors
import psycopg2.extensions
from flask import g, request
from psycopg2.extras import Json, RealDictCursor
from psycopg2.sql import Composable

from app.errors import DatabaseError
from app.postgres.connection import NOT_MIGRATED, Connection, connect, connected
from app.postgres.dsn import Dsn
from app.runtime.threads import Offload

Cursor = psycopg2.extensions.cursor
Result = TypeVar("Result")
Row = tuple[Any, ...]
Query = str | Composable

BROKEN = (psycopg2.OperationalError, psycopg2.InterfaceError)
# A slower query is not intended, and would keep its connection from other requests.
LONGEST_QUERY = "SET statement_timeout = '15s'"


class TooSlowError(DatabaseError):
    """The query took longer than LONGEST_QUERY allows. The client should ask for less."""


class RequestDatabase:
    """Run queries on pooled connections. `offload` has as many threads as there may be connections."""

    def __init__(self, dsn: Dsn | None, offload: Offload) -> None:
        self._dsn = dsn
        self._offload = offload
        self._idle: list[Connection] = []  # at most one for each thread

    def rows(self, query: Query, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        return self._offload(self._read, query, parameters, Cursor)

    def row(self, query: Query, parameters: Mapping[str, Any] | None = None) -> Row | None:
        found = self.rows(query, parameters)
        return found[0] if found else None

    def dicts(self, query: Query, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return rows as dictionaries by column name."""
        return self._offload(self._read, query, parameters, RealDictCursor)

    def change(self, action: Callable[[Cursor], Result]) -> Result:
        """Run the action in one transaction. It has a connection of its own, since changes are rare."""
        return self._offload(self._change, action)

    def _read(self, query: Query, parameters: Mapping[str, Any] | None, kind: type[Cursor]) -> list[Any]:
        try:
            return self._asked(query, parameters, kind)
        except psycopg2.errors.QueryCanceled as error:
            raise TooSlowError("The query takes too long: request less.", str(error).strip()) from error
        except BROKEN as error:
            raise DatabaseError("The database failed during a query.", str(error).strip()) from error
        except NOT_MIGRATED as error:
            raise DatabaseError("The database has a different schema version.", str(error).strip()) from error

    def _asked(self, query: Query, parameters: Mapping[str, Any] | None, kind: type[Cursor]) -> list[Any]:
        while (connection := self._take()) is not None:
            try:
                return self._ask(connection, query, parameters, kind)
            except BROKEN:
                # The connection broke while it was idle, as all do when the server restarts: the next one is tried.
                if not connection.closed:
                    raise
        return self._ask(self._open(), query, parameters, kind)

    def _ask(
        self, connection: Connection, query: Query, parameters: Mapping[str, Any] | None, kind: type[Cursor]
    ) -> list[Any]:
        try:
            with connection.cursor(cursor_factory=kind) as cursor:
                cursor.execute(query, parameters)
                return list(cursor.fetchall())
        finally:
            if not connection.closed:
                self._idle.append(connection)

    def _take(self) -> Connection | None:
        # Without a check for an idle connection first: another thread could take it in between.
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        return None

    def _open(self) -> Connection:
        connection = connect(self._known_dsn(), "admin")
        connection.set_session(readonly=True, autocommit=True)
        with connection.cursor() as cursor:
            cursor.execute(LONGEST_QUERY)
        return connection

    def _change(self, action: Callable[[Cursor], Result]) -> Result:
        with connected(self._known_dsn(), "admin") as connection, connection, connection.cursor() as cursor:
            cursor.execute(LONGEST_QUERY)
            return action(cursor)

    def _known_dsn(self) -> Dsn:
        if self._dsn is None:
            raise DatabaseError("KALSHI_PRODUCTION_DSN is not set.")
        return self._dsn


# Every change is recorded with its author in the same transaction, so that no change is without a record.

NOTE = """
    INSERT INTO admin_changes (who, address, action, parameters, outcome) VALUES (%s, %s, %s, %s, %s)
"""


def change(
    database: RequestDatabase, action: str, parameters: Mapping[str, Any], make: Callable[[Cursor], dict[str, Any]]
) -> dict[str, Any]:
    who, address = g.holder.name, request.remote_addr or ""

    def noted(cursor: Cursor) -> dict[str, Any]:
        outcome = make(cursor)
        cursor.execute(NOTE, (who, address, action, Json(dict(parameters)), Json(outcome, dumps=_json)))
        return outcome

    return database.change(noted)


def note(database: RequestDatabase, action: str, parameters: Mapping[str, Any], outcome: dict[str, Any]) -> None:
    """Record an action that was carried out elsewhere."""
    change(database, action, parameters, lambda _: outcome)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
