import pytest

from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from tests.merge.recordings import Recordings
from tests.servers import new_database

NAMES = ("a", "b", "c")


RECORDS = "orderbook_deltas, trades, tickers, orderbook_snapshots, lifecycle_events"


@pytest.fixture(scope="module")
def lasting_databases(server, templates):
    gatherers = {name: new_database(server, templates[DatabaseKind.TIMESERIES]) for name in NAMES}
    return gatherers, new_database(server, templates[DatabaseKind.PRODUCTION])


def emptied(dsn, others):
    with connected(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {RECORDS}, quarantine, {others} RESTART IDENTITY")
        connection.commit()
    return dsn


@pytest.fixture
def gatherers(lasting_databases):
    return {name: emptied(dsn, "confirmations") for name, dsn in lasting_databases[0].items()}


@pytest.fixture
def production(lasting_databases):
    others = "sync_cursors, merge_statistics, exports, gatherer_runs, gatherer_losses, gatherer_refusals"
    return emptied(lasting_databases[1], others)


@pytest.fixture
def damaged(gatherers, server, templates):
    """A database in the place of gatherer a's, for a test to damage."""
    gatherers["a"] = new_database(server, templates[DatabaseKind.TIMESERIES])
    return gatherers["a"]


@pytest.fixture
def recordings(gatherers, production):
    """A function from a table's name to its recordings."""
    made = []

    def make(table_name, **options):
        made.append(Recordings(table_name, gatherers, production, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def lasting(lasting_databases):
    """Recordings for many examples, which keep apart by their tickers."""
    gatherers, production = lasting_databases
    made = {}

    def of(table_name):
        if table_name not in made:
            made[table_name] = Recordings(table_name, gatherers, production)
        return made[table_name]

    of.production = production
    yield of
    for each in made.values():
        each.close()
