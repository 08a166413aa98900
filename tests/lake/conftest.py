import pytest

from app.lake.exporter import Exporter
from app.lake.folder import FolderStorage
from app.lake.ledger import open_ledger
from app.lake.verifier import Verifier


@pytest.fixture
def storage(tmp_path):
    return FolderStorage(tmp_path / "lake")


@pytest.fixture
def ledger(production):
    with open_ledger(production) as opened:
        yield opened


@pytest.fixture
def exporter(production, ledger, storage):
    return Exporter(production, ledger, storage)


@pytest.fixture
def verifier(production, ledger, storage):
    return Verifier(production, ledger, storage)
