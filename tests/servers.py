"""Real database servers and databases."""

import shutil
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from psycopg2 import sql

from app.postgres.connection import connected, value_of
from app.postgres.server import EmbeddedServer


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
def temporary_server(binaries=None, **options):
    with temporary_folder() as folder, EmbeddedServer(folder, binaries, options) as server:
        yield server


def new_database(server, template=None):
    name = f"test_{uuid.uuid4().hex}"
    if template is None:
        return server.ensure_database(name)
    connection = psycopg2.connect(server.dsn("postgres").reveal())
    try:
        connection.autocommit = True
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with connection.cursor() as cursor:
            cursor.execute(create.format(sql.Identifier(name), sql.Identifier(template.database)))
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
