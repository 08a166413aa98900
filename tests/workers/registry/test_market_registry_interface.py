"""What other parts are promised of the registry's calls, of one that runs, against an exchange that answers by a script."""

from functools import partial

import msgspec
import pytest

from tests.kalshi.exchange import PREFIX, FakeExchange, Reply
from tests.markets.build import frame, lifecycle
from tests.workers.registry.test_market_registry_in_trouble import OPEN, listing, market
from tests.workers.registry_process import running_registry

NOW_US = 1_795_246_814_000_000
MANY = 1_500  # more than a queue holds
TICKERS = [market(number)["ticker"] for number in range(MANY)]


@pytest.fixture
def exchange():
    with FakeExchange().running() as running:
        running.rule = partial(listing, [market(number) for number in range(MANY)])
        yield running


@pytest.fixture
def registry(exchange):
    with running_registry(exchange.url, start_us=NOW_US) as running:
        running.wait_for(lambda state: state["why_not_ready"] is None, "the initial sync")
        yield running


def tell(registry, event_type, ticker, **facts):
    registry.tell("frame", frame(lifecycle(event_type, ticker, **facts)))


def status_of(registry, ticker):
    return registry.ask("market", ticker.encode())["market"]["status"]


def test_it_gives_out_all_that_is_known_of_a_market(exchange):
    said = {"title": "Will it snow?", "result": "", "exchange_index": 0, "updated_time": "2026-11-20T12:00:00.000001Z"}
    times = {"open_time": "2026-11-20T00:00:00Z", "expiration_time": "2099-01-08T00:00:00Z"}
    prices = {"yes_bid_dollars": "0.4200", "yes_ask_dollars": "0.4325", "last_price_dollars": "0.4300"}
    exchange.rule = partial(listing, [market(1, **said, **times, **prices, volume_fp="1234.56")])
    with running_registry(exchange.url, start_us=NOW_US) as registry:
        registry.wait_for(lambda state: state["why_not_ready"] is None, "the initial sync")
        known = registry.ask("market", b"KXA-1-T00001")["market"]
    quoted_us = known.pop("quoted_us")
    assert known == {
        "ticker": "KXA-1-T00001",
        "event_ticker": "KXA-1",
        "title": "Will it snow?",
        "status": "active",
        "trading_status": "halted",  # the exchange is open, and does not trade
        "market_type": "binary",
        "result": "",
        "exchange_index": 0,
        "yes_bid_e6": 420_000,
        "yes_ask_e6": 432_500,
        "last_price_e6": 430_000,
        "volume_e2": 123_456,
        "open_us": 1_795_132_800_000_000,
        "close_us": 4_070_908_800_000_000,
        "expiration_us": 4_071_513_600_000_000,
        "updated_us": 1_795_176_000_000_001,
    }
    assert quoted_us >= NOW_US - 60_000_000


def test_an_unknown_market_is_none(registry):
    assert registry.ask("market", b"KXA-GONE") == {"market": None}


@pytest.mark.parametrize(("trades", "expected"), [(True, ("trading", "not_open")), (False, ("halted", "not_open"))])
def test_whether_a_market_trades_is_its_own_status_and_its_shard_s(exchange, trades, expected):
    rule = partial(listing, [market(1, exchange_index=1), market(2, exchange_index=1, status="inactive")])
    shards = [
        {"exchange_index": 0, "exchange_active": True, "trading_active": not trades},
        {"exchange_index": 1, "exchange_active": True, "trading_active": trades},
    ]
    status = {**OPEN, "exchange_index_statuses": shards}
    exchange.rule = lambda asked: Reply(200, status) if asked.path.endswith("/status") else rule(asked)
    with running_registry(exchange.url) as registry:
        registry.wait_for(lambda state: state["why_not_ready"] is None, "the initial sync")
        known = [registry.ask("market", ticker)["market"] for ticker in (b"KXA-1-T00001", b"KXA-1-T00002")]
    assert tuple(each["trading_status"] for each in known) == expected


def test_a_list_of_active_markets_is_the_caller_s(registry):
    first, *others = TICKERS
    assert [each["ticker"] for each in registry.ask("active_markets")] == TICKERS
    tell(registry, "deactivated", first)
    registry.wait_for(lambda state: first not in state["active"], "the market's pause")
    held = registry.ask("markets_held")
    assert ([each["ticker"] for each in held], held[0]["status"]) == (TICKERS, "active")
    assert [each["ticker"] for each in registry.ask("active_markets")] == others


def test_who_subscribes_late_is_told_first_what_is_active_and_then_what_changes(registry):
    tell(registry, "determined", TICKERS[5], result="yes")
    registry.wait_for(lambda state: state["counts"]["determined"] == 1, "a determination")
    registry.tell("subscribe")
    tell(registry, "deactivated", TICKERS[7])
    tell(registry, "determined", TICKERS[7], result="no")
    registry.wait_for(lambda state: state["counts"]["determined"] == 2, "another determination")
    registry.wait_for(lambda _: len(registry.ask("told_late")) >= MANY + 1, "what the late one is told")
    told = registry.ask("told_late")
    introduced, later = told[: MANY - 1], told[MANY - 1 :]
    assert [ticker for ticker, *_ in introduced] == [ticker for ticker in TICKERS if ticker != TICKERS[5]]
    assert {tuple(change[1:4]) for change in introduced} == {("created", None, "active")}
    assert all(change[4]["title"] == "Will it?" for change in introduced)
    assert [change[:4] for change in later] == [
        [TICKERS[7], "status_change", "active", "inactive"],
        [TICKERS[7], "status_change", "inactive", "determined"],
    ]


def test_only_a_settled_change_comes_without_its_market(registry):
    registry.tell("subscribe")
    tell(registry, "deactivated", TICKERS[0])
    tell(registry, "settled", TICKERS[0])
    registry.wait_for(lambda _: len(registry.ask("told_late")) == MANY + 2, "what the late one is told")
    told = registry.ask("told_late")
    assert {event_type for _, event_type, *_, market in told if market is None} == {"settled"}
    assert {event_type for _, event_type, *_, market in told if market is not None} == {"created", "status_change"}


def test_a_market_that_is_over_when_it_is_met_is_not_created(exchange):
    exchange.rule = partial(listing, [market(1), market(2, status="finalized", result="yes"), market(3)])
    with running_registry(exchange.url) as registry:
        state = registry.wait_for(lambda state: state["why_not_ready"] is None, "the initial sync")
        assert (state["counts"]["finalized"], state["rows"]["markets"]["KXA-1-T00002"]["result"]) == (1, "yes")
        assert [change[:2] for change in state["changes"]] == [["KXA-1-T00001", "created"], ["KXA-1-T00003", "created"]]


def test_quotes_are_those_that_the_ticker_stream_brought(registry):
    said = {"yes_bid_dollars": "0.1000", "yes_ask_dollars": "0.1250", "price_dollars": "0.1100", "volume_fp": "7.25"}
    body = {"market_ticker": TICKERS[3], "ts_ms": NOW_US // 1_000 + 5, **said}
    registry.tell("ticker", msgspec.json.encode({"type": "ticker", "sid": 1, "msg": body}))
    known = registry.ask("market", TICKERS[3].encode())["market"]
    names = ("yes_bid_e6", "yes_ask_e6", "last_price_e6", "volume_e2", "quoted_us")
    assert [known[name] for name in names] == [100_000, 125_000, 110_000, 725, NOW_US + 5_000]
    assert status_of(registry, TICKERS[3]) == "active"


def endless(asked):
    """Lists without a last page."""
    if asked.path == f"{PREFIX}/exchange/status":
        return Reply(200, OPEN)
    return Reply(200, {"markets": [market(1)], "cursor": "more", "events": [], "series": []})


def away(asked):
    return Reply(200, OPEN) if asked.path == f"{PREFIX}/exchange/status" else Reply(503, {})


@pytest.mark.parametrize("rule", [endless, away])
def test_stop_returns_when_everything_has_ended_whatever_the_exchange_does(exchange, rule):
    exchange.rule = rule
    with running_registry(exchange.url) as registry:
        registry.wait_for(lambda _: len(exchange.asked) > 10, "questions")
        assert registry.ask("stop_and_look") == {"running": 0}
        asked = len(exchange.asked)
        assert registry.stop() == 0
        assert len(exchange.asked) == asked


def test_a_late_subscriber_that_takes_nothing_does_not_keep_it_from_stopping(exchange):
    with running_registry(exchange.url, is_slow=True) as registry:
        assert registry.ask("take", str(MANY).encode()) == TICKERS
        registry.wait_for(lambda state: state["why_not_ready"] is None, "the initial sync")
        registry.tell("subscribe_and_sleep")
        assert registry.ask("stop_and_look") == {"running": 0}
