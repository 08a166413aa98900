from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg2

from app.errors import DatabaseError
from app.postgres.connection import NOT_MIGRATED, Connection


class KeptConnection:
    """A connection for one task after the other, opened when there is none. Whatever fails in a task, it is given up:
    its state is not known any more."""

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
        """For what needs the session of an earlier task, its locks above all."""
        with self._given_up_after_errors():
            if self._connection is None:
                raise DatabaseError(self._failure, "Its connection has been given up since it was opened.")
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
