"""Trades that REST gives and a gatherer has under another time: each is one trade, whichever copy is stored first."""

import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from app.coverage.evidence import HeardPeriod
from app.coverage.trade_repair import MissingTrades, RepairReason, TradeRepair
from app.merge.rules import TRADES as RULE
from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.runtime.threads import inline
from app.storage.tables import PRODUCTION_TRADES, TRADES
from app.storage.writer import CopyWriter
from tests.gatherers import execute
from tests.kalshi.exchange import FakeExchange, Reply, client_of
from tests.merge.recordings import Recordings
from tests.processes import wait_until
from tests.servers import new_database

HAPPENED = datetime(2026, 11, 21, 15, 0, 0, 250_000, tzinfo=UTC)
DISTANCES = [timedelta(seconds=59), timedelta(seconds=61), timedelta(minutes=59), timedelta(minutes=61)]
EITHER_WAY = [sign * distance for distance in DISTANCES for sign in (-1, 1)]
OF_REST = {
    "ticker": "KXA-1",
    "created_time": HAPPENED.isoformat(),
    "yes_price_dollars": "0.36",
    "no_price_dollars": "0.64",
    "taker_outcome_side": "no",
    "is_block_trade": False,
    "count_fp": "1.00",
}
OURS = "(SELECT oid FROM pg_database WHERE datname = current_database())"
WAITERS = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = {OURS}"


def us(moment):
    return int(moment.timestamp() * 1_000) * 1_000


def row(trade_id, at, *origin):
    return (us(at), us(at), 100, 360_000, False, False, False, "KXA-1", trade_id, *origin)


def answer(trades):
    def rule(asked):
        if asked.path.endswith("/cutoff"):
            return Reply(200, {"trades_created_ts": "2026-09-01T00:00:00Z"})
        return Reply(200, {"trades": trades, "cursor": ""})

    return rule


@pytest.fixture
def repair(production, monkeypatch):
    """A function that repairs the minute in which REST shows the trades of these ids."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FakeExchange().running() as exchange, client_of(exchange) as client:
        trades = MissingTrades(production, client, inline)

        def run(*trade_ids):
            exchange.rule = answer([{**OF_REST, "trade_id": trade_id} for trade_id in trade_ids])
            period = HeardPeriod(HAPPENED, HAPPENED + timedelta(minutes=1))
            return trades.repair(TradeRepair("", period, RepairReason.HOLE))

        yield run


@contextmanager
def gatherer_of(production, server, templates):
    gatherers = {"a": new_database(server, templates[DatabaseKind.TIMESERIES])}
    made = Recordings(TRADES.name, gatherers, production)
    try:
        yield made
    finally:
        made.close()


def counted(production):
    return dict(execute(production, "SELECT trade_id, count(*) FROM trades GROUP BY trade_id"))


def name_of(distance):
    return f"{distance.total_seconds():+.0f} s"


def expected(distance):
    return 1 if abs(distance) <= RULE.copies.window else 2


def test_a_trade_that_a_gatherer_had_first_is_there_as_often_as_the_merge_would_have_it(
    production, server, templates, repair
):
    with gatherer_of(production, server, templates) as gatherer:
        for distance in EITHER_WAY:
            gatherer.record("a", [row(name_of(distance), HAPPENED + distance, 7, 1, 1)])
        gatherer.catch_up()
        for distance in EITHER_WAY:
            repair(name_of(distance))
    assert counted(production) == {name_of(distance): expected(distance) for distance in EITHER_WAY}


def test_a_trade_that_rest_gave_first_is_there_as_often_as_the_merge_would_have_it(
    production, server, templates, repair
):
    assert repair(*map(name_of, EITHER_WAY)).added == len(EITHER_WAY)
    with gatherer_of(production, server, templates) as gatherer:
        for distance in EITHER_WAY:
            gatherer.record("a", [row(name_of(distance), HAPPENED + distance, 7, 1, 1)])
            gatherer.catch_up()
    assert counted(production) == {name_of(distance): expected(distance) for distance in EITHER_WAY}


def test_a_trade_that_is_merged_while_rest_answers_is_stored_once(production, repair):
    writer = CopyWriter(PRODUCTION_TRADES, production)
    repaired = threading.Thread(target=repair, args=("merged meanwhile",))
    with connected(production) as merging, merging.cursor() as cursor:
        cursor.execute(writer._statements.lock_table)
        cursor.execute(writer._statements.create_staging)
        writer._store(cursor, [row("merged meanwhile", HAPPENED + timedelta(seconds=5))])
        repaired.start()
        wait_until(lambda: execute(production, WAITERS) == [(1,)], what="a repair that waits for the table")
        merging.commit()
    repaired.join(60)
    assert counted(production) == {"merged meanwhile": 1}


def test_an_id_that_no_database_holds_goes_to_quarantine_and_the_others_are_stored(production, repair):
    repaired = repair("fine", "nul\0")
    assert (repaired.added, repaired.unfit) == (1, 1)
    assert counted(production) == {"fine": 1}
    assert execute(production, "SELECT table_name FROM quarantine") == [("trades",)]
