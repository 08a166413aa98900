import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from app.coverage.hours import judge_next_hour
from app.kalshi.request_budget import Priority, RequestBudget
from app.kalshi.rest_client import RestClient
from app.kalshi.rest_transport import HttpSession, RestTransport
from app.postgres.connection import connected
from app.runtime.backoff import LONGEST_DELAY_SECONDS
from app.runtime.threads import inline
from app.storage.tables import PRODUCTION_TICKERS, PRODUCTION_TRADES
from app.storage.writer import CopyWriter
from tests.coverage.conftest import AT_ONCE, PATIENCE
from tests.gatherers import execute
from tests.kalshi.exchange import PLENTY, QUICK, FakeExchange, Reply, transport_to
from tests.processes import wait_until
from tests.simulator.running import START, running_simulator
from workers.deduplicator.trade_repairer import MOST_REFUSALS, ProductionTradeRepairer

BEGIN = datetime.fromisoformat(START)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    """With a history of trades that goes on no more."""
    options = ("--markets", 50, "--rate", 2_000, "--speed", 20, "--tier", "unlimited")
    with running_simulator(tmp_path_factory.mktemp("simulator"), *options) as running:
        wait_until(lambda: len(running.trades()) > 300, what="trades")
        running.stop_the_clock()
        yield running


@pytest.fixture
def repairer(simulator, production, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    transport = RestTransport(
        HttpSession(simulator.where["rest"], None), RequestBudget(PLENTY), threading.Event(), QUICK
    )
    yield ProductionTradeRepairer(production, RestClient(transport, Priority.REPAIR, 20), inline, threading.Event())
    transport.close()


def happened(trade):
    return datetime.fromisoformat(trade["created_time"])


def recorded(production):
    return {trade_id for (trade_id,) in execute(production, "SELECT trade_id FROM trades")}


def judged_hour(production, hour, holes="{}"):
    execute(
        production, "INSERT INTO coverage_hours (hour, known_until) VALUES (%s, %s)", (hour, hour + timedelta(hours=1))
    )
    if holes != "{}":
        execute(
            production,
            "INSERT INTO coverage (hour, channel, ticker, state, holes, repaired, repaired_by) "
            "VALUES (%s, 'trade', '', 'hole', %s, '{}', '{}')",
            (hour, holes),
        )


def hole_over(trades):
    times = sorted(map(happened, trades))
    return f"{{[{times[0].isoformat()},{(times[-1] + timedelta(milliseconds=1)).isoformat()})}}"


def test_trades_that_nobody_heard_are_fetched_and_the_hole_is_noted(simulator, production, repairer):
    trades = sorted(simulator.trades(), key=happened)
    missed = trades[50:200]
    judged_hour(production, BEGIN, hole_over(missed))
    assert repairer.step()
    assert {trade["trade_id"] for trade in missed} <= recorded(production)
    ((started_at, reason, added),) = execute(production, "SELECT started_at, reason, added FROM trade_repairs")
    assert (started_at, reason) == (happened(missed[0]), "hole")
    assert added == len(recorded(production))
    assert execute(production, "SELECT DISTINCT from_rest FROM trades") == [(True,)]
    assert repairer.step(), "the volumes of the hour"
    assert not repairer.step()


def test_what_is_here_already_is_not_added_even_under_another_time(simulator, production, repairer):
    trades = sorted(simulator.trades(), key=happened)[:20]
    at_us = int(happened(trades[0]).timestamp() * 1_000) * 1_000 + 5_000_000
    writer = CopyWriter(PRODUCTION_TRADES, production)
    ticker, trade_id = trades[0]["ticker"], trades[0]["trade_id"]
    writer.write([(at_us, at_us, 100, 500_000, True, False, False, ticker, trade_id)])
    writer.close()
    judged_hour(production, BEGIN, hole_over(trades))
    repairer.step()
    assert execute(production, "SELECT count(*) FROM trades WHERE trade_id = %s", (trade_id,)) == [(1,)]
    ((trades_there, added),) = execute(production, "SELECT trades, added FROM trade_repairs")
    assert added == trades_there - 1


def test_a_hole_that_was_repaired_is_none_any_more(simulator, production, repairer):
    execute(
        production,
        "INSERT INTO gatherer_runs (gatherer, run_id, started_at, recorded_until, delivered_until) "
        "VALUES ('a', 1, %s, %s, %s)",
        (BEGIN, BEGIN, BEGIN),
    )
    now = BEGIN + timedelta(hours=1, minutes=1) + PATIENCE
    states = []
    for _ in range(2):
        with connected(production) as connection:
            while judge_next_hour(connection, now, PATIENCE, AT_ONCE).judged:
                pass
        query = "SELECT state, holes::TEXT, repaired_by FROM coverage WHERE channel = 'trade' AND hour = %s"
        states += execute(production, query, (BEGIN,))
        repairer.step()
    assert [state for state, _, _ in states] == ["hole", "repaired"]
    assert states[1][1:] == ("{}", ["rest"])
    assert recorded(production) == {trade["trade_id"] for trade in simulator.trades()}


def test_a_market_with_more_volume_than_trades_is_asked_for(simulator, production, repairer):
    trades = sorted(simulator.trades(), key=happened)
    ticker = max({trade["ticker"] for trade in trades}, key=lambda name: sum(name == t["ticker"] for t in trades))
    own = [trade for trade in trades if trade["ticker"] == ticker]
    size_e2 = sum(int(trade["count_fp"].replace(".", "")) for trade in own)
    first_us, last_us = (
        int(happened(own[at]).timestamp() * 1_000) * 1_000 + shift for at, shift in ((0, -1_000), (-1, 0))
    )
    tickers = [
        (at_us, at_us, volume, None, None, None, volume, None, None, None, None, None, None, 0, False, ticker)
        for at_us, volume in ((first_us, 5_000), (last_us, 5_000 + size_e2))
    ]
    writer = CopyWriter(PRODUCTION_TICKERS, production)
    writer.write(tickers)
    writer.close()
    judged_hour(production, BEGIN)
    assert repairer.step()
    assert {trade["trade_id"] for trade in own} <= recorded(production)
    assert execute(production, "SELECT DISTINCT ticker FROM trades") == [(ticker,)]
    assert execute(production, "SELECT ticker, reason FROM trade_repairs") == [(ticker, "volume")]
    execute(production, "UPDATE coverage_hours SET volumes_checked_at = NULL")
    repairer.step()
    assert execute(production, "SELECT count(*) FROM trade_repairs") == [(1,)], "it lacks none any more"


@pytest.fixture
def scripted(request, production, monkeypatch):
    """A repairer of an exchange that answers by a rule; a test may give it options."""
    options = getattr(request, "param", {})
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FakeExchange().running() as exchange, transport_to(exchange) as transport:
        client = RestClient(transport, Priority.REPAIR, 20)
        clock = SimpleNamespace(seconds=0.0)
        made = ProductionTradeRepairer(production, client, inline, threading.Event(), lambda: clock.seconds, **options)
        yield exchange, made, clock


def refusing(is_refused):
    def rule(asked):
        if asked.path.endswith("/cutoff"):
            return Reply(200, {"trades_created_ts": "2026-09-01T00:00:00Z"})
        return Reply(400, {}) if is_refused(dict(asked.query)) else Reply(200, {"trades": [], "cursor": ""})

    return rule


def repairs(production):
    return execute(production, "SELECT ticker, started_at, reason FROM trade_repairs ORDER BY started_at, ticker")


def test_a_hole_that_is_refused_keeps_no_other_waiting_and_is_tried_again(production, scripted):
    exchange, repairer, clock = scripted
    starts = [BEGIN + timedelta(minutes=minute) for minute in (10, 20, 30)]
    holes = ",".join(f"[{start.isoformat()},{(start + timedelta(minutes=1)).isoformat()})" for start in starts)
    judged_hour(production, BEGIN, f"{{{holes}}}")
    latest = str(int(starts[-1].timestamp()) - 1)
    exchange.rule = refusing(lambda query: query["min_ts"] == latest)
    for _ in range(4):
        assert repairer.step()
    assert repairs(production) == [("", start, "hole") for start in starts[:2]]
    ((checked,),) = execute(production, "SELECT volumes_checked_at IS NOT NULL FROM coverage_hours")
    assert checked
    assert not repairer.step(), "it is put off"
    exchange.rule = refusing(lambda _: False)
    clock.seconds += LONGEST_DELAY_SECONDS
    assert repairer.step()
    assert repairs(production)[-1] == ("", starts[-1], "hole")


def minute_hole(minute, seconds=60):
    start = BEGIN + timedelta(minutes=minute)
    return f"{{[{start.isoformat()},{(start + timedelta(seconds=seconds)).isoformat()})}}"


@pytest.mark.parametrize(("seconds", "is_ripe"), [(30, True), (31, False)])
def test_a_hole_is_repaired_only_when_rest_has_had_time_to_know_its_trades(production, scripted, seconds, is_ripe):
    exchange, repairer, _ = scripted
    judged_hour(production, BEGIN, minute_hole(59, seconds))
    exchange.rule = refusing(lambda _: False)
    repairer.step()
    assert bool(repairs(production)) == is_ripe


def test_of_a_hole_only_what_was_not_asked_for_yet_is_repaired(production, scripted):
    exchange, repairer, _ = scripted
    judged_hour(production, BEGIN, minute_hole(10))
    start, middle = BEGIN + timedelta(minutes=10), BEGIN + timedelta(minutes=10, seconds=20)
    done = "INSERT INTO trade_repairs (ticker, started_at, ended_at, reason, trades, added) VALUES (%s, %s, %s, 'hole', 0, 0)"
    execute(production, done, ("", start, middle))
    execute(production, done, ("KXA-1", middle, middle + timedelta(minutes=1)))
    exchange.rule = refusing(lambda _: False)
    assert repairer.step()
    assert ("", middle, "hole") in repairs(production)
    assert len(repairs(production)) == 3


def showing(exchange, *counts):
    """From here on, trades of these sizes in the eleventh minute."""
    facts = {
        "ticker": "KXA-1",
        "created_time": "2026-11-21T15:10:01Z",
        "yes_price_dollars": "0.36",
        "no_price_dollars": "0.64",
        "taker_outcome_side": "no",
        "is_block_trade": False,
    }
    trades = [{"trade_id": f"of {count}", "count_fp": count, **facts} for count in counts]
    empty = refusing(lambda _: False)
    exchange.rule = lambda asked: Reply(200, {"trades": trades}) if asked.path.endswith("s/trades") else empty(asked)


@pytest.mark.parametrize("odd", ["1.001", "92233720368547758.08"])
def test_a_hole_with_a_trade_that_no_row_can_hold_stays_one(production, scripted, odd):
    exchange, repairer, clock = scripted
    judged_hour(production, BEGIN, minute_hole(10))
    showing(exchange, odd, "1.00")
    assert repairer.step()
    ((table, payload),) = execute(production, "SELECT table_name, convert_from(payload, 'UTF8') FROM quarantine")
    assert (table, odd in payload, recorded(production)) == ("trades", True, {"of 1.00"})
    repairer.step()
    assert (repairs(production), repairer.step()) == ([], False), "it is put off"
    showing(exchange, "1.00")
    clock.seconds += LONGEST_DELAY_SECONDS
    assert repairer.step()
    assert repairs(production) == [("", BEGIN + timedelta(minutes=10), "hole")]


def grown(production, hour, *tickers):
    """By the exchange's figures, of each market a contract was traded in that hour; of the first one a little more."""
    writer = CopyWriter(PRODUCTION_TICKERS, production)
    for minute, volume in ((10, 0), (20, 100)):
        at_us = int((hour + timedelta(minutes=minute)).timestamp()) * 1_000_000
        writer.write(
            [
                (at_us, at_us, told, None, None, None, told, None, None, None, None, None, None, 0, False, ticker)
                for number, ticker in enumerate(tickers)
                for told in [volume and volume + len(tickers) - number]
            ]
        )
    writer.close()


def checked_hours(production):
    query = "SELECT hour FROM coverage_hours WHERE volumes_checked_at IS NOT NULL ORDER BY hour"
    return [hour for (hour,) in execute(production, query)]


def test_a_market_that_is_refused_keeps_neither_others_nor_other_hours_waiting(production, scripted):
    exchange, repairer, clock = scripted
    earlier = BEGIN - timedelta(hours=1)
    grown(production, BEGIN, "KXA-1", "KXBAD-1", "KXC-1")
    grown(production, earlier, "KXD-1")
    for hour in (earlier, BEGIN):
        judged_hour(production, hour)
    exchange.rule = refusing(lambda query: query["ticker"] == "KXBAD-1")
    assert [repairer.step() for _ in range(3)] == [True, True, False]
    assert {ticker for ticker, _, _ in repairs(production)} == {"KXA-1", "KXC-1", "KXD-1"}
    assert checked_hours(production) == [earlier]
    exchange.rule = refusing(lambda _: False)
    clock.seconds += LONGEST_DELAY_SECONDS
    assert [repairer.step() for _ in range(2)] == [True, False]
    assert checked_hours(production) == [earlier, BEGIN]


def test_many_refusals_among_answers_end_no_hour(production, scripted):
    exchange, repairer, _ = scripted
    tickers = [f"KX{kind}-{number}" for number in range(MOST_REFUSALS + 1) for kind in ("BAD", "GOOD")]
    grown(production, BEGIN, *tickers)
    judged_hour(production, BEGIN)
    exchange.rule = refusing(lambda query: query["ticker"].startswith("KXBAD"))
    assert repairer.step()
    assert {ticker for ticker, _, _ in repairs(production)} == set(tickers[1::2])


def test_an_exchange_that_refuses_all_markets_is_not_asked_for_each_of_them(production, scripted):
    exchange, repairer, _ = scripted
    grown(production, BEGIN, *(f"KXA-{number}" for number in range(50)))
    judged_hour(production, BEGIN)
    exchange.rule = refusing(lambda _: True)
    assert repairer.step()
    assert len(exchange.asked) == MOST_REFUSALS
    assert checked_hours(production) == []


@pytest.mark.parametrize("scripted", [{"markets_at_once": 2}], indirect=True)
def test_an_hour_is_checked_only_when_all_markets_that_lack_trades_were_asked_for(production, scripted):
    exchange, repairer, _ = scripted
    tickers = [f"KXA-{number}" for number in range(5)]
    grown(production, BEGIN, *tickers)
    judged_hour(production, BEGIN)
    exchange.rule = refusing(lambda _: False)  # and it has none of their trades
    for asked in (2, 4):
        assert repairer.step()
        assert {ticker for ticker, _, _ in repairs(production)} == set(tickers[:asked])
        assert checked_hours(production) == []
    assert [repairer.step(), repairer.step()] == [True, False]
    assert [ticker for ticker, _, _ in repairs(production)] == tickers, "each once"
    assert checked_hours(production) == [BEGIN]


@pytest.mark.parametrize("scripted", [{"markets_at_once": 1}], indirect=True)
def test_a_hole_is_repaired_before_the_rest_of_an_hour_that_lacks_very_many_trades(production, scripted):
    exchange, repairer, _ = scripted
    grown(production, BEGIN, "KXA-0", "KXA-1")
    judged_hour(production, BEGIN)
    exchange.rule = refusing(lambda _: False)
    assert repairer.step()
    execute(
        production,
        "INSERT INTO coverage (hour, channel, ticker, state, holes, repaired, repaired_by) "
        "VALUES (%s, 'trade', '', 'hole', %s, '{}', '{}')",
        (BEGIN, minute_hole(30)),
    )
    assert repairer.step()
    assert {(ticker, reason) for ticker, _, reason in repairs(production)} == {("KXA-0", "volume"), ("", "hole")}
    assert (repairer.step(), checked_hours(production)) == (True, [BEGIN])


def test_a_key_that_is_refused_stops_it_and_is_said(production, simulator, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    judged_hour(production, now, f"{{[{now.isoformat()},{(now + timedelta(minutes=1)).isoformat()})}}")
    with FakeExchange().running() as exchange:
        exchange.answers(Reply(401, {}))
        transport = RestTransport(HttpSession(exchange.url, None), RequestBudget(PLENTY), threading.Event(), QUICK)
        stopping = threading.Event()
        halted = ProductionTradeRepairer(production, RestClient(transport, Priority.REPAIR, 20), inline, stopping)
        thread = threading.Thread(target=halted.run)
        thread.start()
        wait_until(halted.why_not_ready, what="an alarm")
        stopping.set()
        thread.join(20)
        transport.close()
    assert "KALSHI_API_KEY_ID" in halted.why_not_ready()
