"""Trades of a time that has passed, some of which the exchange has moved to its archive."""

import json

import pytest

from app.kalshi.errors import RequestRefusedError
from app.polling.trades import trades_between
from tests.kalshi.exchange import PREFIX, FakeExchange, Reply, client_of
from tests.polling.exchanges import archives_trades_before
from tests.storage.rows import NOON_US

HOUR_US = 3_600_000_000
RECENT, CUTOFF, ARCHIVE = (f"{PREFIX}/{path}" for path in ("markets/trades", "historical/cutoff", "historical/trades"))


@pytest.fixture
def exchange(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FakeExchange().running() as running:
        running.by_path[RECENT] = page("recent")
        running.by_path[ARCHIVE] = page("archived")
        yield running


def page(*names):
    return Reply(200, {"trades": [{"trade_id": name} for name in names], "cursor": ""})


def fetched(exchange, ticker=None):
    with client_of(exchange) as client:
        parts = list(trades_between(client, NOON_US, NOON_US + HOUR_US, ticker))
    return [json.loads(bytes(trade))["trade_id"] for part in parts for trade in part]


@pytest.mark.parametrize(
    ("cutoff", "expected"),
    [
        ("2026-11-01T11:59:59Z", ["recent"]),
        ("2026-11-01T11:59:59.5Z", ["recent", "archived"]),
        ("2026-11-01T12:30:00Z", ["recent", "archived"]),
        ("2026-12-01T00:00:00Z", ["recent", "archived"]),
    ],
)
def test_what_lies_before_the_cutoff_comes_from_the_archive(exchange, cutoff, expected):
    archives_trades_before(exchange, cutoff)
    assert fetched(exchange) == expected


def test_the_archive_is_asked_for_the_same_time_and_market_and_after_the_cutoff(exchange):
    """Whatever is moved to it while we ask is found there."""
    archives_trades_before(exchange, "2026-12-01T00:00:00Z")
    fetched(exchange, "KXA-1")
    assert [asked.path for asked in exchange.asked] == [RECENT, CUTOFF, ARCHIVE]
    assert exchange.asked[0].query == exchange.asked[2].query
    assert dict(exchange.asked[0].query)["ticker"] == "KXA-1"


@pytest.mark.parametrize("path", [CUTOFF, ARCHIVE])
def test_without_the_cutoff_or_the_archive_it_is_not_done(exchange, path):
    archives_trades_before(exchange, "2026-12-01T00:00:00Z")
    exchange.by_path[path] = Reply(400, {})
    with pytest.raises(RequestRefusedError):
        fetched(exchange)
