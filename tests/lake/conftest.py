import pytest

from app.lake.exporter import HourExporter
from app.lake.storage import FolderStorage
from app.lake.verifier import Verifier
from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from tests.cli_settings import invoke
from tests.lake.exporting import ledger_of
from tests.servers import new_database
from tests.simulator.recording import Run


@pytest.fixture
def storage(tmp_path):
    return FolderStorage(tmp_path / "lake")


@pytest.fixture
def ledger(production, storage):
    with ledger_of(production, storage) as opened:
        yield opened


@pytest.fixture
def exporter(production, ledger, storage):
    return HourExporter(production, ledger, storage)


@pytest.fixture
def verifier(production, ledger, storage):
    return Verifier(production, ledger, storage)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("truth")
    run = Run(folder, markets=30, rate=150).record_books(range(30)).advance(20).record_everything()
    return run, folder


def export_of(run, production, lake):
    """Return the settings of a production that a run was recorded into, and of its lake."""
    with connected(production) as connection:
        run[0].write(connection)
        connection.commit()
    settings = {"KALSHI_PRODUCTION_DSN": production.reveal(), "KALSHI_LAKE": str(lake)}
    done = invoke(settings, "export")
    assert done.exit_code == 0, done.output
    return settings


@pytest.fixture(scope="module")
def exported(run, server, templates, tmp_path_factory):
    """For tests that leave both as they found them."""
    production = new_database(server, templates[DatabaseKind.PRODUCTION])
    return export_of(run, production, tmp_path_factory.mktemp("exported") / "lake")


@pytest.fixture
def own_export(run, production, tmp_path):
    """For a test to change."""
    return export_of(run, production, tmp_path / "lake")
