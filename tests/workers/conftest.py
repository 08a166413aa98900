import pytest

from tests.kalshi.exchange import FakeExchange


@pytest.fixture
def exchange(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FakeExchange().running() as running:
        yield running
