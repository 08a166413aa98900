"""One database server for the whole run, however many workers it has, and migrated databases to copy."""

import contextlib
import fcntl
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import sql

from app import logs
from app.databases import Kind
from app.postgres.connection import connected
from app.postgres.server import EmbeddedServer
from app.store.migrations import migrate, migrations_of
from tests.servers import temporary_server

# Nothing in a test's database needs to survive a power cut.
OPTIONS = {"fsync": "off", "max_connections": "600"}
FOLDER = "database_folder"
RUNNING = pytest.StashKey[contextlib.ExitStack]()
SERVER = pytest.StashKey[EmbeddedServer]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config):
    logs.configure("text", "warning")
    running = config.stash[RUNNING] = contextlib.ExitStack()
    config.stash[SERVER] = running.enter_context(running_server())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    node.workerinput[FOLDER] = str(node.config.stash[SERVER].folder)


def pytest_unconfigure(config):
    if RUNNING in config.stash:
        config.stash[RUNNING].close()


@contextlib.contextmanager
def shared_server(config):
    """The server that this worker's controller has started; a run without workers starts its own."""
    if hasattr(config, "workerinput"):
        yield EmbeddedServer(Path(config.workerinput[FOLDER]))
    else:
        with running_server() as server:
            yield server


@contextlib.contextmanager
def running_server():
    with temporary_server(**OPTIONS) as server:
        yield server
        # A clean end would write to disk what is thrown away.
        server.kill()


def template(server, kind):
    """A migrated database of this kind to make others from. The first process that needs one makes it."""
    with (server.folder / "templates.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not exists(server, name_of(kind)):
            make_template(server, kind)
    return server.dsn(name_of(kind))


def name_of(kind):
    return f"template_{kind.database}"


def make_template(server, kind):
    unfinished = f"unfinished_{kind.database}"
    with connected(server.ensure_database(unfinished)) as connection:
        migrate(connection, migrations_of(kind))
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    with administering(server) as cursor:
        cursor.execute(rename.format(sql.Identifier(unfinished), sql.Identifier(name_of(kind))))


def exists(server, name):
    with administering(server) as cursor:
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", (name,))
        return cursor.fetchone() is not None


@contextlib.contextmanager
def administering(server):
    connection = psycopg2.connect(server.dsn("postgres").reveal())
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def templates_of(server):
    return {kind: template(server, kind) for kind in Kind}
