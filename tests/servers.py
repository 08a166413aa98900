"""Real database servers and databases."""

import shutil
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import make_dsn

from app.postgres.connection import connected, value_of
from app.postgres.dsn import Dsn
from app.postgres.embedded.server import EmbeddedServer

FIRST_WITH_STRATEGIES = 150_000


@contextmanager
def temporary_folder():
    """A folder that the server's unprivileged account can enter, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="kalshi-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def administering(dsn):
    """A cursor for what no transaction may hold: databases that are made, renamed and dropped."""
    connection = psycopg2.connect(dsn.reveal())
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


class GivenServer:
    """A server that somebody else runs, as far as tests need one: this account may create databases there."""

    def __init__(self, admin, folder):
        self._admin = admin
        self.folder = folder

    def dsn(self, name):
        return Dsn(make_dsn(self._admin.reveal(), dbname=name))

    def ensure_database(self, name):
        with administering(self._admin) as cursor:
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", (name,))
            if cursor.fetchone() is None:
                self.note(name)
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.dsn(name)

    def note(self, name):
        """Have a database dropped in the end."""
        with (self.folder / "databases").open("a") as file:
            file.write(f"{name}\n")

    def drop_databases(self):
        noted = self.folder / "databases"
        with administering(self._admin) as cursor:
            for name in noted.read_text().split() if noted.exists() else ():
                cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def given_server(admin):
    """A server that somebody runs, until the block ends without the databases that were made in it."""
    with temporary_folder() as folder:
        server = GivenServer(admin, folder)
        try:
            yield server
        finally:
            server.drop_databases()


@contextmanager
def temporary_server(binaries=None, **options):
    with temporary_folder() as folder, EmbeddedServer(folder, binaries, options) as server:
        yield server


def new_database(server, template=None):
    name = f"test_{uuid.uuid4().hex}"
    if template is None:
        return server.ensure_database(name)
    if isinstance(server, GivenServer):
        server.note(name)
    connection = psycopg2.connect(server.dsn("postgres").reveal())
    try:
        connection.autocommit = True
        # Copied page by page, as is the default since PostgreSQL 15, each page would pass through the log and the buffers.
        strategy = sql.SQL("STRATEGY file_copy" if connection.server_version >= FIRST_WITH_STRATEGIES else "")
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} {}")
        with connection.cursor() as cursor:
            cursor.execute(create.format(sql.Identifier(name), sql.Identifier(template.database), strategy))
    finally:
        connection.close()
    return server.dsn(name)


def end_sessions(dsn, application):
    """End those of this application on this database alone: the server has other tests' as well. Return how many."""
    with connected(dsn) as other:
        return value_of(
            other,
            """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name LIKE %s AND pid <> pg_backend_pid()""",
            (f"{application}%",),
        )
