"""What a machine needs to run in: a server, templates of its databases, and nothing that runs beside it."""

from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from unittest import mock

import app.storage.retention
import app.subscriptions.dial_queue
import workers.gatherer.admission
import workers.gatherer.writers
from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.runtime.threads import inline
from app.storage.migrations import migrate, migrations_of
from tests.claims.clocks import wait_for_any
from tests.claims.databases import Laboratory
from tests.servers import new_database, temporary_server


@contextmanager
def laboratory():
    with temporary_server(fsync="off") as server:
        templates = {kind: _migrated(server, kind) for kind in (DatabaseKind.TIMESERIES, DatabaseKind.PRODUCTION)}
        with inside(server, templates) as made:
            yield made


@contextmanager
def inside(server, templates):
    """Writers run where the machine says; sockets are opened again within seconds, and chunks made an hour ahead."""
    made = Laboratory(server, templates)
    with (
        mock.patch.object(workers.gatherer.writers, "threads", return_value=inline),
        mock.patch.object(workers.gatherer.admission, "gevent", SimpleNamespace(wait=wait_for_any)),
        mock.patch.object(app.subscriptions.dial_queue, "LONGEST_SECONDS", 4),
        mock.patch.object(app.storage.retention, "AHEAD", timedelta(hours=1)),
    ):
        try:
            yield made
        finally:
            made.close()


def _migrated(server, kind):
    dsn = new_database(server)
    with connected(dsn) as connection:
        migrate(connection, migrations_of(kind))
    return dsn
