import pytest

from tests.claims.laboratory import inside
from tests.claims.proving import machine


@pytest.fixture(scope="module")
def laboratory(server, templates):
    with inside(server, templates) as made:
        yield made


@pytest.fixture
def kind(laboratory):
    """A machine with figures of its own."""
    return machine(laboratory)


@pytest.fixture
def history(kind):
    """One to be played step by step, and then until nobody has anything left to do."""
    played = kind()
    yield played
    played.teardown()
