import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from app.storage.tables import TRADES
from app.storage.writer import CopyWriter
from tests.kalshi.exchange import FakeExchange, Reply
from tests.polling.exchanges import archives_trades_before, asked_for_trades, clients_of, simulated
from tests.polling.kept import KeptRows
from tests.processes import wait_until
from tests.storage.reading import rows_of
from tests.storage.rows import NOON_US
from workers.gatherer.trade_repairer import TradeRepairer

SECOND_US = 1_000_000
NOON = NOON_US // SECOND_US
TRADE_ID = TRADES.column_names.index("trade_id")


def trade(number, **details):
    facts = {"yes_price_dollars": "0.3600", "no_price_dollars": "0.6400", "taker_outcome_side": "no"}
    made = {"trade_id": f"id-{number}", "ticker": "KXTEST-1", "count_fp": "1.00", "is_block_trade": False, **facts}
    return {**made, "created_time": "2026-11-01T12:00:00.123456Z", **details}


def page(*trades, cursor=""):
    return Reply(200, {"trades": list(trades), "cursor": cursor})


@contextmanager
def repairing(exchange, sink=None, last_recorded_us=None, now_us=NOON_US + 60 * SECOND_US):
    if isinstance(exchange, FakeExchange):
        archives_trades_before(exchange, "2026-09-01T00:00:00Z")
    stopping = threading.Event()
    clock = SimpleNamespace(now_us=now_us)
    with clients_of(exchange, stopping) as (client, _):
        sink = sink or KeptRows()
        repairer = TradeRepairer(
            client,
            sink,
            lambda: last_recorded_us,
            stopping,
            settle_seconds=5,
            retry_seconds=0,
            clock_us=lambda: clock.now_us,
        )
        run = SimpleNamespace(repairer=repairer, sink=sink, clock=clock, stopping=stopping)
        run.thread = threading.Thread(target=repairer.run)
        yield run
        stopping.set()
        if run.thread.ident:
            run.thread.join(120)
            assert not run.thread.is_alive()


def ids(rows):
    return [row[TRADE_ID] for row in rows]


@pytest.fixture(scope="module")
def simulation(tmp_path_factory):
    with simulated(tmp_path_factory.mktemp("simulator"), "--markets", 200, "--rate", 3_000, "--speed", 20) as running:
        simulator, _ = running
        wait_until(lambda: len(simulator.rest("/markets/trades", limit=1000).body["trades"]) == 1_000)
        wait_until(lambda: simulator.rest("/markets/trades", limit=1000).body["cursor"])
        simulator.stop_the_clock()
        yield running


def told(simulator):
    """All trades that REST tells of, oldest first."""
    found, cursor = [], ""
    while True:
        body = simulator.rest("/markets/trades", limit=1000, cursor=cursor).body
        found += body["trades"]
        if not (cursor := body["cursor"]):
            return found[::-1]


class Written:
    """Puts rows into a database."""

    def __init__(self, dsn):
        self._writer = CopyWriter(TRADES, dsn)

    def put(self, table, rows):
        assert table is TRADES
        self._writer.write(rows)

    def close(self):
        self._writer.close()


def test_trades_of_an_interval_are_in_the_database_once_however_often_it_is_fetched(
    simulation, monkeypatch, timeseries, connection
):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    simulator, exchange = simulation
    trades, now_us = told(simulator), simulator.state()["now_us"]
    sink = Written(timeseries)
    with repairing(exchange, sink, now_us=now_us + 10 * SECOND_US) as run:
        for _ in range(2):
            run.repairer.repair(now_us - 3_600 * SECOND_US, now_us)
            while run.repairer.step():
                continue
    sink.close()
    assert len(trades) > 1_000
    assert sorted(ids(rows_of(connection, TRADES))) == sorted(each["trade_id"] for each in trades)


def test_after_an_error_of_the_exchange_in_between_nothing_is_missing(simulation, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    simulator, exchange = simulation
    trades, now_us = told(simulator), simulator.state()["now_us"]
    simulator.inflict("rest_error", status=503, path="/trade-api/v2/markets/trades", count=1)
    with repairing(exchange, now_us=now_us + 10 * SECOND_US) as run:
        run.repairer.repair(now_us - 3_000 * SECOND_US, now_us)
        while run.repairer.step():
            continue
        assert set(ids(run.sink.trades)) == {each["trade_id"] for each in trades}


def test_it_asks_for_a_second_more_on_either_side(exchange):
    exchange.answers(page())
    with repairing(exchange) as run:
        run.repairer.repair(NOON_US + 500_000, NOON_US + 1_500_000)
        assert run.repairer.step()
    assert sorted(asked_for_trades(exchange)[0].query) == [
        ("limit", "1000"),
        ("max_ts", str(NOON + 3)),
        ("min_ts", str(NOON - 1)),
    ]


def test_an_interval_is_fetched_only_when_rest_has_had_time_to_know_its_trades(exchange):
    exchange.answers(page(trade(1)))
    with repairing(exchange, now_us=NOON_US) as run:
        run.repairer.repair(NOON_US - SECOND_US, NOON_US)
        run.clock.now_us = NOON_US + 5 * SECOND_US - 1
        assert (run.repairer.step(), exchange.asked) == (False, [])
        run.clock.now_us += 1
        assert (run.repairer.step(), run.repairer.step()) == (True, False)
        assert ids(run.sink.trades) == ["id-1"]


def test_overlapping_intervals_are_fetched_once(exchange):
    exchange.answers(page(trade(1)))
    with repairing(exchange) as run:
        for start in range(10):
            run.repairer.repair(NOON_US + start * SECOND_US, NOON_US + (start + 2) * SECOND_US)
        assert (run.repairer.step(), run.repairer.step(), len(asked_for_trades(exchange))) == (True, False, 1)


def test_an_interval_that_fails_on_its_second_page_is_fetched_again_from_the_first(exchange):
    exchange.answers(page(trade(1), cursor="a"), Reply(400, {}), page(trade(1), cursor="a"), page(trade(2)))
    with repairing(exchange) as run:
        run.repairer.repair(NOON_US, NOON_US)
        assert [run.repairer.step() for _ in range(3)] == [True, True, False]
        assert set(ids(run.sink.trades)) == {"id-1", "id-2"}
    assert [dict(asked.query).get("cursor") for asked in asked_for_trades(exchange)] == [None, "a", None, "a"]


def test_at_its_start_it_fetches_what_happened_since_the_last_run(exchange):
    exchange.answers(page(trade(1)))
    with repairing(exchange, last_recorded_us=NOON_US) as run:
        run.thread.start()
        run.clock.now_us += 60 * SECOND_US
        wait_until(lambda: run.sink.trades)
    asked = dict(asked_for_trades(exchange)[0].query)
    assert (asked["min_ts"], int(asked["max_ts"]) > NOON + 59) == (str(NOON - 61), True)


def test_without_a_last_run_there_is_nothing_to_fetch(exchange):
    with repairing(exchange) as run:
        run.thread.start()
        run.stopping.set()
        run.thread.join(120)
    assert exchange.asked == []


def test_a_trade_that_no_row_can_hold_goes_to_quarantine_and_the_others_stay(exchange):
    exchange.answers(page(trade(1), trade(2, count_fp="1.001"), trade(3)))
    with repairing(exchange) as run:
        run.repairer.repair(NOON_US, NOON_US)
        run.repairer.step()
        assert ids(run.sink.trades) == ["id-1", "id-3"]
        [(_, table, reason, payload)] = run.sink.quarantined
        assert (table, reason, b'"id-2"' in payload) == ("trades", "1.001 has more than 2 decimals", True)


def test_a_refused_key_is_an_alarm_and_trades_are_fetched_once_it_is_taken_again(exchange, monkeypatch):
    monkeypatch.setattr("workers.process.group.DENIED_SECONDS", 0.05)
    exchange.answers(Reply(401, {}))
    with repairing(exchange) as run:
        run.repairer.repair(NOON_US, NOON_US)
        run.thread.start()
        reason = wait_until(run.repairer.component.why_not_ready, what="an alarm")
        assert ("trade_repairer halted" in reason, "401" in reason) == (True, True)
        exchange.answers(page(trade(1)))
        wait_until(lambda: ids(run.sink.trades) == ["id-1"], what="trades")
        wait_until(lambda: run.repairer.component.why_not_ready() is None, what="the end of the alarm")


def test_when_asked_to_stop_it_ends_though_the_exchange_is_away(exchange):
    exchange.answers(Reply(500, {}))
    with repairing(exchange) as run:
        run.repairer.repair(NOON_US, NOON_US)
        run.thread.start()
        wait_until(lambda: exchange.asked)
    assert run.repairer.component.halted_because is None


def test_one_time_that_is_refused_keeps_no_other_from_being_repaired(exchange):
    def rule(asked):
        if asked.path.endswith("/cutoff"):
            return Reply(200, {"trades_created_ts": "2026-09-01T00:00:00Z"})
        return Reply(400, {}) if dict(asked.query)["min_ts"] == str(NOON - 1) else page(trade(2))

    exchange.rule = rule
    with repairing(exchange, now_us=NOON_US + 7_200 * SECOND_US) as run:
        run.repairer.repair(NOON_US, NOON_US)
        run.repairer.repair(NOON_US + 3_600 * SECOND_US, NOON_US + 3_600 * SECOND_US)
        for _ in range(3):
            assert run.repairer.step()
        assert ids(run.sink.trades) == ["id-2"]
