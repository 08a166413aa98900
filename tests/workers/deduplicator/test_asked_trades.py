"""Back-filling production with the trades of a time, as somebody asked for it."""

from datetime import datetime, timedelta

import pytest

from app.coverage.evidence import HeardPeriod
from app.coverage.trade_repair import AskedTrades, MissingTrades, pieces
from app.errors import OperatorError
from app.kalshi.errors import RequestRefusedError
from app.kalshi.request_budget import Priority
from app.kalshi.rest_client import RestClient
from app.runtime.threads import inline
from tests.gatherers import execute
from tests.kalshi.exchange import transport_to
from tests.polling.exchanges import simulated
from tests.processes import wait_until
from tests.simulator.running import START

BEGIN = datetime.fromisoformat(START)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def simulation(tmp_path_factory):
    with simulated(tmp_path_factory.mktemp("simulator"), "--markets", 50, "--rate", 50, "--speed", 100) as simulation:
        simulator, _ = simulation
        # More than one piece of what is fetched at once.
        until_us = (BEGIN + timedelta(minutes=12)).timestamp() * 1_000_000
        wait_until(lambda: simulator.state()["now_us"] > until_us, 180, "twelve minutes of trades")
        simulator.stop_the_clock()
        yield simulation


def trades_of(simulator, **filters):
    return {trade["trade_id"]: trade["ticker"] for trade in simulator.trades(**filters)}


@pytest.fixture
def backfill(simulation, production, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with transport_to(simulation[1]) as transport:
        client = RestClient(transport, Priority.REPAIR, 20)
        asked = AskedTrades(MissingTrades(production, client, inline))
        yield lambda start, end, **more: list(
            asked.backfill({"from": start.isoformat(), "to": end.isoformat(), **more})
        )


def recorded(production):
    return dict(execute(production, "SELECT trade_id, ticker FROM trades"))


def test_all_trades_of_the_time_are_there_and_only_once(simulation, production, backfill):
    expected = trades_of(simulation[0])
    progress = backfill(BEGIN, BEGIN + timedelta(hours=1))
    assert recorded(production) == expected
    assert len(progress) == 6
    assert progress[-1].endswith(f"{len(expected)} of them new")
    assert backfill(BEGIN, BEGIN + timedelta(hours=1))[-1].endswith(", 0 of them new")
    assert recorded(production) == expected


def test_it_is_noted_as_a_repair(production, backfill):
    backfill(BEGIN, BEGIN + timedelta(minutes=15))
    noted = execute(production, "SELECT ticker, started_at, ended_at, reason FROM trade_repairs ORDER BY started_at")
    middle, end = BEGIN + timedelta(minutes=10), BEGIN + timedelta(minutes=15)
    assert noted == [("", BEGIN, middle, "asked"), ("", middle, end, "asked")]


def test_one_market_s_trades_can_be_had_alone(simulation, production, backfill):
    ticker = next(iter(trades_of(simulation[0]).values()))
    backfill(BEGIN, BEGIN + timedelta(hours=1), ticker=ticker)
    assert recorded(production) == trades_of(simulation[0], ticker=ticker)


def test_a_time_that_has_not_passed_is_not_noted_as_repaired(production, backfill):
    start = BEGIN + 365 * 100 * DAY
    with pytest.raises(OperatorError, match="not passed yet"):
        backfill(start, start + DAY)
    assert execute(production, "SELECT count(*) FROM trade_repairs") == [(0,)]


def test_what_could_not_be_fetched_is_not_noted(simulation, production, backfill):
    simulation[0].inflict("rest_error", path="/trade-api/v2/markets/trades", status=400)
    with pytest.raises(RequestRefusedError):
        backfill(BEGIN, BEGIN + timedelta(hours=1))
    assert execute(production, "SELECT count(*) FROM trade_repairs") == [(0,)]


def test_pieces_are_the_whole_without_an_overlap():
    whole = HeardPeriod(BEGIN, BEGIN + timedelta(minutes=25))
    found = list(pieces(whole, timedelta(minutes=10)))
    assert [piece.end - piece.start for piece in found] == [timedelta(minutes=each) for each in (10, 10, 5)]
    assert (found[0].start, found[-1].end) == whole
    assert [piece.start for piece in found[1:]] == [piece.end for piece in found[:-1]]
    assert list(pieces(HeardPeriod(BEGIN, BEGIN), DAY)) == []
