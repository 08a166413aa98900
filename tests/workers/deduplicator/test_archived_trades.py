"""Trades that the exchange has moved to its archive: whoever repairs or back-fills finds them there."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from app.coverage.trade_repair import AskedTrades, MissingTrades
from app.kalshi.request_budget import Priority
from app.kalshi.rest_client import RestClient
from app.runtime.threads import inline
from app.storage.tables import TRADES
from tests.gatherers import execute
from tests.kalshi.exchange import transport_to
from tests.polling.exchanges import simulated
from tests.polling.kept import KeptRows
from tests.processes import run, wait_until
from workers.deduplicator.trade_repairer import ProductionTradeRepairer
from workers.gatherer.trade_repairer import TradeRepairer

BEGIN = datetime(2026, 11, 21, 23, 58, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)
END = MIDNIGHT + timedelta(minutes=1)
TRADE_ID = TRADES.column_names.index("trade_id")


@pytest.fixture(scope="module")
def simulation(tmp_path_factory):
    """An exchange that archived all trades of the day before."""
    options = ("--markets", 50, "--rate", 100, "--speed", 50, "--live-days", 0, "--start", BEGIN.isoformat())
    with simulated(tmp_path_factory.mktemp("simulator"), *options) as (simulator, exchange):
        until_us = END.timestamp() * 1_000_000
        wait_until(lambda: simulator.state()["now_us"] > until_us, 180, "three minutes of trades")
        simulator.stop_the_clock()
        yield simulator, exchange


def ids(simulator, path):
    return {trade["trade_id"] for trade in simulator._all(path, "trades", {"max_ts": int(END.timestamp()) + 1})}


@pytest.fixture
def archived(simulation):
    found = ids(simulation[0], "/historical/trades")
    assert found
    return found


@pytest.fixture
def client(simulation, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with transport_to(simulation[1]) as transport:
        yield RestClient(transport, Priority.REPAIR, 20)


def recorded(production):
    return {trade_id for (trade_id,) in execute(production, "SELECT trade_id FROM trades")}


def hole(production, start, end):
    hour = start.replace(minute=0)
    execute(
        production, "INSERT INTO coverage_hours (hour, known_until) VALUES (%s, %s)", (hour, hour + timedelta(hours=1))
    )
    execute(
        production,
        "INSERT INTO coverage (hour, channel, ticker, state, holes, repaired, repaired_by) "
        "VALUES (%s, 'trade', '', 'hole', tstzmultirange(tstzrange(%s, %s)), '{}', '{}')",
        (hour, start, end),
    )


def test_a_back_fill_that_was_asked_for_has_them_all(simulation, production, client, archived):
    backfill = AskedTrades(MissingTrades(production, client, inline)).backfill
    list(backfill({"from": BEGIN.isoformat(), "to": END.isoformat()}))
    assert recorded(production) == archived | ids(simulation[0], "/markets/trades")


def test_a_hole_is_repaired_with_them(production, client, archived):
    hole(production, BEGIN, MIDNIGHT - timedelta(minutes=1))
    assert ProductionTradeRepairer(production, client, inline, threading.Event()).step()
    assert recorded(production)
    assert recorded(production) <= archived
    assert execute(production, "SELECT started_at, trades > 0 FROM trade_repairs") == [(BEGIN, True)]


def test_a_hole_before_the_cutoff_is_not_repaired_by_what_is_recent(simulation, production, client):
    hole(production, BEGIN, MIDNIGHT - timedelta(minutes=1))
    fault = simulation[0].inflict("rest_error", path="/trade-api/v2/historical/trades", status=400)
    assert ProductionTradeRepairer(production, client, inline, threading.Event()).step()
    simulation[0].lift(fault["fault_id"])
    assert execute(production, "SELECT count(*) FROM trade_repairs") == [(0,)]


def test_a_gatherer_that_was_away_has_them(client, archived):
    sink, stopping = KeptRows(), threading.Event()
    repairer = TradeRepairer(client, sink, lambda: None, stopping, clock_us=lambda: int(END.timestamp() * 1_000_000))
    repairer.repair(int(BEGIN.timestamp() * 1_000_000), int(MIDNIGHT.timestamp() * 1_000_000))
    while repairer.step():
        continue
    assert archived <= {row[TRADE_ID] for row in sink.trades}


def test_the_command_line_has_them(simulation, timeseries, archived):
    where = {"KALSHI_TS_DSN": timeseries.reveal(), "KALSHI_REST_URL": simulation[1].url, "NO_PROXY": "127.0.0.1"}
    done = run("-m", "app", "backfill", "--from", BEGIN.isoformat(), "--to", END.isoformat(), **where)
    assert done.returncode == 0, done.stderr
    assert archived <= recorded(timeseries)
