import pytest

from tests.gatherers import Gatherer


@pytest.fixture
def gatherer(server, templates):
    return Gatherer(server, templates, "a")
