import threading

import pytest

from app.kalshi.request_budget import Priority, RequestBudget
from app.kalshi.rest_client import RestClient
from app.kalshi.rest_transport import HttpSession, RestTransport
from app.runtime.threads import inline
from app.storage.tables import PRODUCTION_TRADES
from app.storage.writer import CopyWriter
from tests.gatherers import execute, put_market
from tests.kalshi.exchange import PLENTY, QUICK
from tests.simulator.running import running_simulator
from tests.storage.rows import NOON_US
from workers.deduplicator.market_fetcher import MarketFetcher


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    with running_simulator(tmp_path_factory.mktemp("simulator"), "--markets", 20, "--tier", "unlimited") as running:
        yield running


@pytest.fixture
def fetcher(simulator, production, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    transport = RestTransport(
        HttpSession(simulator.where["rest"], None), RequestBudget(PLENTY), threading.Event(), QUICK
    )
    client = RestClient(transport, Priority.RECONCILE, 20)
    made = MarketFetcher(production, client, inline, threading.Event(), combos=False)
    made.step()
    yield made
    transport.close()


def trade(production, *tickers):
    writer = CopyWriter(PRODUCTION_TRADES, production)
    at_us = NOON_US
    writer.write([(at_us, at_us, 1, 1, True, None, False, ticker, f"{ticker} {n}") for n, ticker in enumerate(tickers)])
    writer.close()


def markets(production):
    return {ticker for (ticker,) in execute(production, "SELECT ticker FROM markets")}


def test_a_market_that_was_traded_and_nobody_knows_is_fetched_with_its_event_and_series(simulator, production, fetcher):
    known, unknown = simulator.tickers(mve_filter="exclude")[:2]
    put_market(production, known, title="known already")
    trade(production, known, unknown)
    fetcher.step()
    assert markets(production) == {known}, "it may still come from a gatherer"
    fetcher.step()
    assert markets(production) == {known, unknown}
    assert execute(production, "SELECT title FROM markets WHERE ticker = %s", (known,)) == [("known already",)]
    joined = (
        "SELECT count(*) FROM markets JOIN events USING (event_ticker) JOIN series AS s ON s.ticker = series_ticker"
    )
    assert execute(production, joined) == [(1,)]


def test_what_the_exchange_does_not_know_either_is_left_alone(simulator, production, fetcher):
    trade(production, "KXNOSUCH-1")
    for _ in range(3):
        assert not fetcher.step()
    assert markets(production) == set()


def test_combos_that_are_not_recorded_are_not_asked_for(simulator, production, fetcher):
    combos = simulator.tickers(mve_filter="only")[:1] or ["KXMVE-1"]
    trade(production, *combos)
    for _ in range(3):
        fetcher.step()
    assert markets(production) == set()


@pytest.mark.parametrize("status", [400, 200])
def test_one_market_that_the_exchange_refuses_keeps_no_other_waiting(simulator, production, fetcher, status):
    """Or that it answers for without sense."""
    refused, known = simulator.tickers(mve_filter="exclude")[:2]
    trade(production, refused, known)
    assert not fetcher.step()
    path = f"/trade-api/v2/markets/{refused}"
    fault = simulator.inflict("rest_error", path=path, status=status)
    assert not fetcher.step()
    simulator.lift(fault["fault_id"])
    assert markets(production) == {known}
