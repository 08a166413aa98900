import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from psycopg2 import sql

from app.postgres.server import EmbeddedServer


@contextmanager
def database_server():
    """In a folder that the server's unprivileged account can enter, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="kalshi-test-"))
    folder.chmod(0o755)
    try:
        # Nothing in a test's database needs to survive a power cut.
        with EmbeddedServer(folder, None, {"fsync": "off"}) as server:
            yield server
    finally:
        shutil.rmtree(folder)


def copied(server, template, name):
    connection = psycopg2.connect(server.dsn("postgres").reveal())
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            names = sql.Identifier(name), sql.Identifier(template.database)
            cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
    finally:
        connection.close()
    return server.dsn(name)
