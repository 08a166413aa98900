import pytest

from app.lake.exporter import HourExporter
from app.lake.storage import FolderStorage
from app.lake.verifier import Verifier
from app.postgres.connection import connected
from tests.cli_settings import invoke
from tests.lake.exporting import ledger_of
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
    run = Run(folder, markets=30, rate=300).record_books(range(30)).advance(20).record_everything()
    return run, folder


@pytest.fixture
def exported(run, production, tmp_path):
    """The settings of a production and its lake."""
    with connected(production) as connection:
        run[0].write(connection)
        connection.commit()
    settings = {"KALSHI_PRODUCTION_DSN": production.reveal(), "KALSHI_LAKE": str(tmp_path / "lake")}
    done = invoke(settings, "export")
    assert done.exit_code == 0, done.output
    return settings
