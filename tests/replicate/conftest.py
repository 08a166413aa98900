import pytest

from tests.coverage.conftest import coverage
from tests.gatherers import Gatherer

__all__ = ["coverage"]


@pytest.fixture
def gatherer(server, templates):
    return Gatherer(server, templates, "a")
