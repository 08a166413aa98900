"""Connection strings, alone in this file: settings need them, but not the code of connections."""

import psycopg2.extensions

from app.runtime.secrets import Secret


class Dsn(Secret):
    """A PostgreSQL connection string. Secret as a whole, since it may hold a password."""

    __slots__ = ()

    def __init__(self, value: str) -> None:
        try:
            psycopg2.extensions.parse_dsn(value)
        except psycopg2.ProgrammingError:
            # libpq quotes the malformed part, which may be the password.
            raise ValueError("not a PostgreSQL connection string") from None
        super().__init__(value)

    @property
    def database(self) -> str:
        return str(psycopg2.extensions.parse_dsn(self.reveal()).get("dbname", ""))
