"""How many requests, how large a page, which filters together, and how long something stays unknown."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.simulator.limits import SimTokenBucket
from tests.processes import wait_until
from tests.simulator.running import Client


@given(st.lists(st.floats(0, 5), max_size=60))
def test_a_bucket_gives_no_more_than_its_capacity_and_its_refill(pauses):
    now, given_tokens = 0.0, 0
    bucket = SimTokenBucket(200, 600, lambda: now)
    for pause in pauses:
        now += pause
        while bucket.take(10):
            given_tokens += 10
        assert given_tokens <= 600 + 200 * now + 1e-6
        assert given_tokens >= 600


def test_the_basic_tier_has_a_burst_of_sixty_and_says_no_more_than_429(start):
    simulator = start("--tier", "basic")
    answers, started = [], time.monotonic()
    while not answers or answers[-1].status == 200:
        answers.append(simulator.rest("/exchange/status"))
    allowed = len(answers) - 1
    assert 60 <= allowed <= 61 + 20 * (time.monotonic() - started)
    refused = answers[-1]
    assert (refused.status, refused.body) == (
        429,
        {"error": {"code": "too_many_requests", "message": "too many requests"}},
    )
    assert not {name.lower() for name in refused.headers} & {
        "retry-after",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
    }
    # A user who signs has a bucket of his own; and the first one's fills again.
    assert simulator.rest("/exchange/status", headers=simulator.signed("/trade-api/v2/exchange/status")).status == 200
    wait_until(lambda: simulator.rest("/exchange/status").status == 200, what="a refill")


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 1_001},
        {"limit": -1},
        {"limit": "many"},
        {"status": "active"},
        {"status": "open,closed"},
        {"mve_filter": "some"},
        {"cursor": "no cursor"},
        {"cursor": "ZXZlbnRzOjU"},
        {"min_created_ts": 1, "min_close_ts": 1},
        {"min_created_ts": 1, "status": "settled"},
        {"max_close_ts": 1, "status": "open"},
        {"min_settled_ts": 1, "status": "closed"},
        {"min_updated_ts": 1, "status": "open"},
        {"min_updated_ts": 1, "event_ticker": "A"},
        {"min_updated_ts": 1, "series_ticker": "A"},
        {"max_updated_ts": 1, "mve_filter": "only"},
    ],
)
def test_queries_for_markets_that_are_refused(simulator, query):
    answer = simulator.rest("/markets", **query)
    assert (answer.status, answer.body["error"]["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/markets/A/orderbook", {"depth": 101}),
        ("/markets/orderbooks", {}),
        ("/markets/orderbooks", {"tickers": ["A"] * 101}),
        ("/markets/trades", {"limit": 1_001}),
        ("/events", {"limit": 0}),
        ("/events", {"limit": 201}),
        ("/events", {"status": "paused"}),
        ("/events/multivariate", {"series_ticker": "A", "collection_ticker": "B"}),
        ("/historical/markets", {"event_ticker": "A", "series_ticker": "B"}),
        ("/markets/candlesticks", {"market_tickers": "A", "start_ts": 1, "end_ts": 2, "period_interval": 0}),
        ("/markets/candlesticks", {"start_ts": 1, "end_ts": 2, "period_interval": 1}),
    ],
)
def test_other_queries_that_are_refused(simulator, path, query):
    assert simulator.rest(path, **query).status == 400


def test_pages_hold_every_market_once_newest_first(simulator):
    seen, cursor = [], ""
    while True:
        page = simulator.rest("/markets", limit=7, cursor=cursor).body
        assert len(page["markets"]) <= 7
        seen += page["markets"]
        if not (cursor := page["cursor"]):
            break
    created = [market["created_time"] for market in seen]
    assert created == sorted(created, reverse=True)
    tickers = [market["ticker"] for market in seen]
    assert len(set(tickers)) == len(tickers) >= 100
    assert set(tickers) <= set(simulator.tickers())


def test_filters_of_markets(simulator):
    every = simulator.rest("/markets", limit=1_000).body["markets"]
    one = every[3]
    only = {each["ticker"] for each in simulator.rest("/markets", mve_filter="only", limit=1_000).body["markets"]}
    assert only == {each["ticker"] for each in every if each["ticker"].startswith("KXMVE")}
    of_event = simulator.rest("/markets", event_ticker=one["event_ticker"]).body["markets"]
    assert {each["event_ticker"] for each in of_event} == {one["event_ticker"]}
    named = simulator.rest("/markets", tickers=f"{one['ticker']},KXNONE,{every[8]['ticker']}").body["markets"]
    assert [each["ticker"] for each in named] == [one["ticker"], every[8]["ticker"]]
    series = simulator.rest(f"/events/{one['event_ticker']}").body["event"]["series_ticker"]
    of_series = simulator.rest("/markets", series_ticker=series, limit=1_000).body["markets"]
    assert one["ticker"] in {each["ticker"] for each in of_series}
    assert all(each["ticker"].startswith(series) for each in of_series)


def test_books_of_a_comma_list_are_one_empty_book(simulator):
    one, other = simulator.tickers(status="open")[:2]
    (book,) = simulator.rest("/markets/orderbooks", tickers=f"{one},{other}").body["orderbooks"]
    assert book == {"ticker": f"{one},{other}", "orderbook_fp": {"yes_dollars": [], "no_dollars": []}}
    assert simulator.rest("/markets/KXNONE/orderbook").body["orderbook_fp"] == book["orderbook_fp"]


def test_depth_gives_the_best_levels(simulator):
    simulator.stop_the_clock()
    for ticker in simulator.tickers(status="open")[:40]:
        whole = simulator.rest(f"/markets/{ticker}/orderbook", depth=0).body["orderbook_fp"]
        best = simulator.rest(f"/markets/{ticker}/orderbook", depth=2).body["orderbook_fp"]
        assert best == {side: levels[-2:] for side, levels in whole.items()}
        assert all(levels == sorted(levels) for levels in whole.values())
    simulator.go_on()


def test_markets_and_series_are_cached_and_books_are_not(simulator):
    cached = {"cache-control": "public, max-age=15"}
    assert simulator.rest("/markets").headers.items() >= cached.items()
    assert simulator.rest("/series").headers.items() >= cached.items()
    assert "cache-control" not in {name.lower() for name in simulator.rest("/markets/A/orderbook").headers}


def test_a_new_market_is_not_found_for_a_while(start):
    simulator = start(
        "--markets", "100", "--rate", "0", "--hidden-seconds", "20", "--speed", "10", "--tier", "unlimited"
    )
    with simulator.connect() as connection:
        client = Client(connection)
        client.ask("subscribe", channels=["market_lifecycle_v2"])
        created = client.wait_for(lambda each: each["msg"].get("event_type") == "created", "a new market")
        ticker = created["msg"]["market_ticker"]
        assert simulator.rest(f"/markets/{ticker}").status == 404
        wait_until(lambda: simulator.rest(f"/markets/{ticker}").status == 200, what="the market")


def test_what_settled_long_ago_is_historical(start):
    simulator = start("--markets", "2000", "--rate", "0", "--live-days", "1", "--tier", "unlimited")
    cutoff = simulator.rest("/historical/cutoff").body["market_settled_ts"]
    old = simulator.rest("/historical/markets", limit=1_000).body["markets"]
    live = simulator.rest("/markets", status="settled", limit=1_000).body["markets"]
    if old:
        assert max(each["settlement_ts"] for each in old) < cutoff
        assert simulator.rest(f"/markets/{old[0]['ticker']}").status == 404
        assert simulator.rest(f"/historical/markets/{old[0]['ticker']}").body["market"] == old[0]
    assert all(each["settlement_ts"] >= cutoff for each in live)
    assert old or live
    assert not {each["ticker"] for each in old} & set(simulator.tickers())


def test_trades_of_the_stream_are_those_of_rest(client, simulator):
    client.ask("subscribe", channels=["trade"])
    client.wait_for(lambda _: len(client.of_type("trade")) > 30, "trades")
    simulator.stop_the_clock()
    client.drain()
    said = {each["msg"]["trade_id"]: each["msg"] for each in client.of_type("trade")}
    found, cursor = {}, ""
    while True:
        page = simulator.rest("/markets/trades", limit=50, cursor=cursor).body
        found |= {each["trade_id"]: each for each in page["trades"]}
        if not (cursor := page["cursor"]):
            break
    simulator.go_on()
    for trade_id, trade in said.items():
        other = found[trade_id]
        assert (other["ticker"], other["count_fp"]) == (trade["market_ticker"], trade["count_fp"])
        assert other["yes_price_dollars"] == trade["yes_price_dollars"]
