"""One database server for the whole run, however many workers it has, and migrated databases to copy.

It is the one that TEST_SERVER_DSN names, where it names one: so every test of the databases can run on TimescaleDB.
"""

import contextlib
import fcntl
import os
from pathlib import Path

import pytest
from psycopg2 import sql

from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.postgres.dsn import Dsn
from app.postgres.embedded.server import EmbeddedServer
from app.runtime import logs
from app.storage.migrations import migrate, migrations_of
from tests.servers import GivenServer, administering, given_server, temporary_server

# Nothing in a test's database needs to survive a power cut, and few live long enough to be vacuumed: by the hundreds of
# databases of earlier tests, ten processes a second would come by.
OPTIONS = {"fsync": "off", "max_connections": "600", "autovacuum": "off"}
FOLDER = "database_folder"
RUNNING = pytest.StashKey[contextlib.ExitStack]()
SERVER = pytest.StashKey[EmbeddedServer | GivenServer]()


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
        folder = Path(config.workerinput[FOLDER])
        yield GivenServer(given, folder) if (given := given_dsn()) else EmbeddedServer(folder)
    else:
        with running_server() as server:
            yield server


def given_dsn():
    given = os.environ.get("TEST_SERVER_DSN")
    return Dsn(given) if given else None


@contextlib.contextmanager
def running_server():
    if given := given_dsn():
        with given_server(given) as server:
            yield server
        return
    with temporary_server(**OPTIONS) as server:
        yield server
        # A clean end would write to disk what is thrown away.
        server.kill()


def template(server, kind):
    """A migrated database of this kind to make others from. The first process that needs one makes it."""
    with (server.folder / "templates.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not exists(server, name_of(server, kind)):
            make_template(server, kind)
    return server.dsn(name_of(server, kind))


def name_of(server, kind):
    """On a server that others use too, nobody else's."""
    return f"template_{kind.database}_{server.folder.name}"


def make_template(server, kind):
    unfinished = f"unfinished_{name_of(server, kind)}"
    if isinstance(server, GivenServer):
        server.note(name_of(server, kind))
    with connected(server.ensure_database(unfinished)) as connection:
        migrate(connection, migrations_of(kind))
    name = name_of(server, kind)
    with administering(server.dsn("postgres")) as cursor:
        cursor.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*map(sql.Identifier, (unfinished, name))))
        # Nothing is copied while it has a session, such as that of TimescaleDB's scheduler.
        cursor.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))


def exists(server, name):
    with administering(server.dsn("postgres")) as cursor:
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", (name,))
        return cursor.fetchone() is not None


def templates_of(server):
    return {kind: template(server, kind) for kind in DatabaseKind}
