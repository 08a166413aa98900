"""What a walk through all markets makes of what it was not shown, against an exchange that answers by a script."""

from types import SimpleNamespace

import pytest

from app.markets.ingest import ChangeFeed, RegistryUpdater
from app.markets.refetch_queue import RefetchQueue
from app.markets.registry import VANISHING_US, Markets
from app.markets.sync import MarketReader
from app.runtime.events import Event
from tests.kalshi.exchange import FakeExchange, Reply, client_of
from tests.markets.build import NOW_US
from workers.registry.market_sync import MarketSync

NAMES = ("KXA-1", "KXA-2")


class Forgetting:
    def put(self, table, rows):
        """Nobody looks at them here."""


class Exchange(FakeExchange):
    """Shows its markets in the list of open ones, which may fail, and by name."""

    def __init__(self):
        super().__init__()
        self.listed = [shown(name) for name in NAMES]
        self.by_name = []
        self.fails = set()
        self.rule = self._answer

    def named(self):
        return [dict(asked.query)["tickers"] for asked in self.asked if "tickers" in dict(asked.query)]

    def _answer(self, asked):
        query = dict(asked.query)
        if query.get("status") in self.fails:
            return Reply(400, {})
        is_list_of_open = query.get("status") == "open" and query["mve_filter"] == "exclude"
        markets = self.by_name if "tickers" in query else self.listed if is_list_of_open else []
        return Reply(200, {"markets": markets, "cursor": ""})


def shown(ticker, **fields):
    return {"ticker": ticker, "event_ticker": "KXA", "status": "active", "title": "A market", **fields}


@pytest.fixture
def exchange(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Exchange().running() as running:
        yield running


@pytest.fixture
def walk(exchange):
    """One that has been made: every market is known."""
    stopping, clock = Event(), SimpleNamespace(us=NOW_US)
    intake = RegistryUpdater(Markets(), Forgetting(), ChangeFeed(stopping), RefetchQueue("events"), lambda: clock.us)
    with client_of(exchange) as client:
        reading = MarketReader(client, intake, combos=True)
        walk = MarketSync(reading, intake, 3_600, Event(), stopping)
        walk.markets, walk.clock = intake.markets, clock
        assert walk.step()
        assert sorted(walk.markets.active) == list(NAMES)
        yield walk


@pytest.mark.parametrize("failing", ["unopened", "open", "closed"])
def test_a_walk_of_which_any_part_failed_asks_for_nobody_by_name(exchange, walk, failing):
    exchange.fails, exchange.listed = {failing}, []
    assert not walk.step()
    assert exchange.named() == []
    exchange.fails = set()
    assert walk.step()
    assert [set(names.split(",")) for names in exchange.named()] == [set(NAMES)]


def walk_for_long(walk):
    for _ in range(2):
        walk.clock.us += VANISHING_US + 1
        assert walk.step()


def test_one_that_is_neither_listed_nor_found_by_name_for_long_is_no_more(exchange, walk):
    exchange.listed = exchange.listed[:1]
    walk_for_long(walk)
    assert sorted(walk.markets.active) == [NAMES[0]]


@pytest.mark.parametrize("strange", [{"status": "asleep"}, {"exchange_index": "zero"}, {"title": None}])
def test_one_whose_answer_can_not_be_read_any_more_is_recorded_as_before(exchange, walk, strange):
    odd = shown(NAMES[1], **strange)
    exchange.listed, exchange.by_name = [exchange.listed[0], odd], [odd]
    walk_for_long(walk)
    assert sorted(walk.markets.active) == list(NAMES)
