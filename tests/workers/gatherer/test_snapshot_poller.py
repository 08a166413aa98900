import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY

from app.kalshi.errors import AccessDeniedError
from app.normalize.snapshots import NO_LEVELS
from app.ops.live import BusyError, NoBookError
from app.polling.book_cycles import COMBO_PREFIX, BookClass
from tests.clock import Clock
from tests.kalshi.exchange import Reply
from tests.polling.exchanges import clients_of, simulated
from tests.polling.kept import KeptRows, Markets
from tests.processes import wait_until
from workers.gatherer.snapshot_poller import MOST_AT_ONCE_ON_DEMAND, SnapshotPoller

TICKERS = [f"KXTEST-{number}" for number in range(250)]
TICKER, LEVELS = 4, slice(6, 10)
HOUR_SECONDS = 3_600
HOURLY = dict.fromkeys(BookClass, HOUR_SECONDS)
SOONER_SECONDS = 60


@contextmanager
def polling(exchange, tickers, intervals=HOURLY):
    stopping = threading.Event()
    with clients_of(exchange, stopping) as (client, urgent_client):
        markets, sink = Markets(tickers), KeptRows()
        clock = Clock()
        poller = SnapshotPoller(markets, client, urgent_client, sink, intervals, stopping, clock=clock)
        poller.clock = clock
        yield SimpleNamespace(poller=poller, markets=markets, sink=sink, stopping=stopping)


def poll_all(poller):
    """One walk; an hour later the next one begins."""
    while poller.step():
        continue
    poller.clock.seconds += HOUR_SECONDS


def books(asked, leave_out=()):
    levels = {"yes_dollars": [["0.4200", "13.00"]], "no_dollars": []}
    answered = [value for name, value in asked.query if name == "tickers" and value not in leave_out]
    return Reply(200, {"orderbooks": [{"ticker": ticker, "orderbook_fp": levels} for ticker in answered]})


@pytest.fixture(scope="module")
def simulation(tmp_path_factory):
    with simulated(tmp_path_factory.mktemp("simulator"), "--markets", 300, "--rate", 500) as running:
        yield running


@pytest.fixture
def at_rest(simulation, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    simulator, exchange = simulation
    simulator.stop_the_clock()
    yield simulator, exchange, simulator.tickers(status="open")
    simulator.go_on()


def test_every_market_is_polled_once_a_cycle_and_what_has_not_changed_is_confirmed(at_rest):
    simulator, exchange, tickers = at_rest
    with polling(exchange, tickers) as run:
        poll_all(run.poller)
        full = list(run.sink.snapshots)
        poll_all(run.poller)
        confirmed = run.sink.snapshots[len(full) :]
    assert sorted(row[TICKER] for row in full) == sorted(row[TICKER] for row in confirmed) == sorted(tickers)
    assert {row[LEVELS] for row in confirmed} == {NO_LEVELS}
    assert all(None not in row[LEVELS] for row in full)
    one = next(row for row in full if row[6] and row[8])
    shown = simulator.rest(f"/markets/{one[TICKER]}/orderbook").body["orderbook_fp"]
    assert one[6] == [int(price.replace(".", "")) * 100 for price, _ in shown["yes_dollars"]]


def test_two_sided_markets_are_polled_more_often_once_they_are_known(at_rest):
    _, exchange, tickers = at_rest
    with polling(exchange, tickers, HOURLY | {BookClass.TWO_SIDED: SOONER_SECONDS}) as run:
        poll_all(run.poller)
        two_sided = {row[TICKER] for row in run.sink.snapshots if row[6] and row[8]}
        run.poller.clock.seconds = SOONER_SECONDS
        poll_all(run.poller)
        sooner = [row[TICKER] for row in run.sink.snapshots[len(tickers) :]]
    assert 0 < len(two_sided) < len(tickers)
    assert sorted(sooner) == sorted(ticker for ticker in two_sided if not ticker.startswith(COMBO_PREFIX))


def test_errors_of_the_exchange_cost_time_and_no_market(at_rest):
    simulator, exchange, tickers = at_rest
    simulator.inflict("rest_error", status=500, path="/trade-api/v2/markets/orderbooks", count=2)
    with polling(exchange, tickers) as run:
        poll_all(run.poller)
        assert sorted(row[TICKER] for row in run.sink.snapshots) == sorted(tickers)


def test_a_book_on_demand_is_whole_and_stored_even_if_it_is_known(at_rest):
    _, exchange, tickers = at_rest
    with polling(exchange, tickers) as run:
        poll_all(run.poller)
        known = next(row for row in run.sink.snapshots if row[6])
        row = run.poller.poll_now(known[TICKER])
        assert (row[TICKER], row[LEVELS]) == (known[TICKER], known[LEVELS])
        assert run.sink.snapshots[-1][LEVELS] == NO_LEVELS


def test_no_book_is_asked_for_on_demand_of_a_market_that_is_not_active(at_rest):
    _, exchange, tickers = at_rest
    with polling(exchange, tickers) as run:
        with pytest.raises(NoBookError, match="not an active market"):
            run.poller.poll_now("KXNONE")
        assert run.sink.snapshots == []


def test_more_demands_at_once_than_there_are_places_are_refused(exchange):
    release = threading.Event()
    exchange.rule = lambda asked: books(asked)._replace(after=release)
    with polling(exchange, TICKERS) as run:
        threads = [
            threading.Thread(target=run.poller.poll_now, args=(ticker,)) for ticker in TICKERS[:MOST_AT_ONCE_ON_DEMAND]
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(exchange.asked) == len(threads))
        try:
            with pytest.raises(BusyError, match="already"):
                run.poller.poll_now(TICKERS[-1])
        finally:
            release.set()
            for thread in threads:
                thread.join()
        assert run.poller.poll_now(TICKERS[-1])[TICKER] == TICKERS[-1]


def test_a_market_that_the_exchange_refuses_keeps_no_other_from_being_polled(exchange):
    bad = TICKERS[37]
    exchange.rule = lambda asked: Reply(400, {}) if ("tickers", bad) in asked.query else books(asked)
    with polling(exchange, TICKERS) as run:
        poll_all(run.poller)
        assert {row[TICKER] for row in run.sink.snapshots} == set(TICKERS) - {bad}
        assert len(exchange.asked) < 20


def test_an_answer_in_another_shape_is_not_fatal_and_the_next_cycle_asks_again(exchange):
    exchange.answers(Reply(200, {"orderbooks": 5}), *(Reply(200, {"orderbooks": []}) for _ in range(2)))
    with polling(exchange, TICKERS) as run:
        poll_all(run.poller)
        exchange.rule = books
        poll_all(run.poller)
        assert {row[TICKER] for row in run.sink.snapshots} == set(TICKERS)


def test_a_book_that_is_not_understood_goes_to_quarantine(exchange):
    exchange.answers(
        Reply(200, {"orderbooks": [{"ticker": TICKERS[0], "orderbook_fp": {"yes_dollars": [["x", "1"]]}}]})
    )
    with polling(exchange, TICKERS[:1]) as run:
        assert run.poller.step()
        [(_, table, reason, payload)] = run.sink.quarantined
        assert (table, "'x' is not a decimal number" in reason, b'"x"' in payload) == (
            "orderbook_snapshots",
            True,
            True,
        )
        assert run.sink.snapshots == []


def test_a_market_that_is_no_longer_active_is_neither_polled_nor_remembered(exchange):
    exchange.rule = books
    with polling(exchange, TICKERS) as run:
        poll_all(run.poller)
        del run.markets.active[TICKERS[0]]
        del run.sink.snapshots[:]
        poll_all(run.poller)
        assert {row[TICKER] for row in run.sink.snapshots} == set(run.poller.seen) == set(TICKERS[1:])


def test_the_next_cycle_waits_for_its_time(exchange):
    exchange.rule = books
    with polling(exchange, TICKERS) as run:
        poll_all(run.poller)
        run.poller.clock.seconds -= 1
        assert not run.poller.step()
        assert len(run.sink.snapshots) == len(TICKERS)


def test_a_refused_key_is_an_alarm_and_what_was_refused_goes_on_once_it_is_taken_again(exchange, monkeypatch):
    monkeypatch.setattr("workers.process.group.DENIED_SECONDS", 0.05)
    exchange.rule = lambda _: Reply(403, {})
    with polling(exchange, TICKERS, dict.fromkeys(BookClass, 0)) as run:
        threads = [threading.Thread(target=run.poller.run) for _ in range(2)]
        for thread in threads:
            thread.start()
        reason = wait_until(run.poller.component.why_not_ready, what="an alarm")
        assert ("snapshot_poller halted" in reason, "403" in reason, run.sink.snapshots) == (True, True, [])
        with pytest.raises(AccessDeniedError):
            run.poller.poll_now(TICKERS[0])
        exchange.rule = books
        wait_until(lambda: {row[TICKER] for row in run.sink.snapshots} == set(TICKERS), what="every book polled")
        assert run.poller.component.why_not_ready() is None
        run.stopping.set()
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)


def test_when_asked_to_stop_it_ends_though_the_exchange_is_away(exchange):
    exchange.answers(Reply(500, {}))
    with polling(exchange, TICKERS) as run:
        thread = threading.Thread(target=run.poller.run)
        thread.start()
        wait_until(lambda: exchange.asked)
        run.stopping.set()
        thread.join(120)
        assert (thread.is_alive(), run.poller.component.halted_because) == (False, None)


def counted(outcome):
    return REGISTRY.get_sample_value("kalshi_polled_markets_total", {"outcome": outcome}) or 0


def test_what_became_of_each_book_is_counted_and_how_long_it_took(exchange):
    outcomes = ("changed", "confirmed", "unfit", "missing", "refused")
    before = [counted(outcome) for outcome in outcomes]
    exchange.rule = lambda asked: books(asked, leave_out=TICKERS[-3:])
    with polling(exchange, TICKERS) as run:
        poll_all(run.poller)
        poll_all(run.poller)
        assert [counted(outcome) - count for outcome, count in zip(outcomes, before, strict=True)] == [
            247,
            247,
            0,
            6,
            0,
        ]
        sides = ({"books": "two-sided"}, {"books": "one-sided"})
        two_sided, one_sided = (REGISTRY.get_sample_value("kalshi_poll_cycle_markets", labels) for labels in sides)
        # What was never answered may have two sides.
        assert (two_sided, one_sided) == (3, 247)
        oldest = [REGISTRY.get_sample_value("kalshi_oldest_polled_book_seconds", labels) for labels in sides]
        assert oldest == [HOUR_SECONDS, HOUR_SECONDS]
        assert REGISTRY.get_sample_value("kalshi_poll_cycle_seconds", sides[0]) == 0
        shown = {each.books: (each.took_seconds, each.markets, each.oldest_seconds) for each in run.poller.polling()}
        assert shown == {
            "two-sided": (0, 3, HOUR_SECONDS),
            "one-sided": (0, 247, HOUR_SECONDS),
            "combo": (0, 0, HOUR_SECONDS),
        }


def test_before_the_first_walk_over_the_books_nothing_is_said_of_how_long_it_takes(exchange):
    with polling(exchange, TICKERS) as run:
        assert {each.took_seconds for each in run.poller.polling()} == {None}
        assert [each.every_seconds for each in run.poller.polling()] == [HOUR_SECONDS] * 3
