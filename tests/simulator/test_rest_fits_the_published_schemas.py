"""Every endpoint with both sides of its options, over HTTP, judged by the exchange's own schemas."""

import itertools

import pytest

from tests.processes import wait_until
from tests.simulator.specification import needs_specification, rest_definitions

pytestmark = needs_specification
START_S = 1_795_273_200
LATER_S = START_S + 10**7


@pytest.fixture(scope="module")
def definitions():
    return rest_definitions()


@pytest.fixture(scope="module")
def simulator(start_for_module):
    # Sixty times as fast, so that markets of every status are soon there.
    simulator = start_for_module("--markets", "400", "--rate", "60", "--speed", "60", "--tier", "unlimited")
    wait_until(lambda: simulator.rest("/markets", status="settled").body["markets"], what="a settled market")
    return simulator


@pytest.fixture(scope="module")
def check(simulator, definitions):
    def checked(name, path, **parameters):
        answer = simulator.rest(path, **parameters)
        assert answer.status == 200, (path, parameters, answer.text)
        definitions.check(name, answer.body)
        return answer.body

    return checked


WINDOWS = {
    "created": ("", "unopened", "open"),
    "close": ("", "closed"),
    "settled": ("", "settled"),
    "updated": ("",),
}


@pytest.mark.parametrize(("window", "status"), [(name, each) for name, all_ in WINDOWS.items() for each in all_])
def test_markets_in_windows_of_time(check, window, status):
    series = check("GetSeriesListResponse", "/series")["series"]
    for since, until_, combos in itertools.product(
        (None, 0, START_S - 3_600), (None, START_S, LATER_S), ("", "exclude")
    ):
        bounds = {f"min_{window}_ts": since, f"max_{window}_ts": until_}
        given = {name: value for name, value in bounds.items() if value is not None}
        check("GetMarketsResponse", "/markets", status=status, mve_filter=combos, limit=3, **given)
    check("GetMarketsResponse", "/markets", min_close_ts=0, series_ticker=series[0]["ticker"])


@pytest.mark.parametrize("status", ["", "unopened", "open", "paused", "closed", "settled"])
@pytest.mark.parametrize("combos", ["", "only", "exclude"])
def test_markets_by_status(check, status, combos):
    for limit in (0, 1, 1_000):
        check("GetMarketsResponse", "/markets", status=status, mve_filter=combos, limit=limit)


def test_single_markets_and_their_books(check):
    markets = check("GetMarketsResponse", "/markets", limit=1_000)["markets"]
    for market in markets[::7]:
        check("GetMarketResponse", f"/markets/{market['ticker']}")
        for depth in (0, 1, 100, -1):
            check("GetMarketOrderbookResponse", f"/markets/{market['ticker']}/orderbook", depth=depth)
    tickers = [market["ticker"] for market in markets[:100]]
    books = check("GetMarketOrderbooksResponse", "/markets/orderbooks", tickers=tickers)["orderbooks"]
    assert [book["ticker"] for book in books] == tickers


@pytest.mark.parametrize("path", ["/markets/trades", "/historical/trades"])
@pytest.mark.parametrize("block", [None, "true", "false"])
def test_trades(check, path, block):
    for limit, since in itertools.product((0, 1, 1_000), (None, START_S)):
        given = {"is_block_trade": block, "min_ts": since, "max_ts": since and LATER_S}
        check(
            "GetTradesResponse", path, limit=limit, **{name: each for name, each in given.items() if each is not None}
        )


@pytest.mark.parametrize("nested", ["true", "false"])
@pytest.mark.parametrize("status", ["", "unopened", "open", "closed", "settled"])
def test_events(check, nested, status):
    for milestones, closing in itertools.product(("true", "false"), (None, START_S)):
        given = {"with_milestones": milestones, "with_nested_markets": nested, "status": status, "limit": 20}
        check("GetEventsResponse", "/events", **given, **({"min_close_ts": closing} if closing else {}))
    check("GetMultivariateEventsResponse", "/events/multivariate", with_nested_markets=nested)


def test_single_events(check):
    events = check("GetEventsResponse", "/events", limit=200)["events"]
    combos = check("GetMultivariateEventsResponse", "/events/multivariate")["events"]
    assert events
    assert combos
    for event in (*events[::9], *combos[::9]):
        path = f"/events/{event['event_ticker']}"
        assert check("GetEventResponse", path)["markets"]
        assert check("GetEventResponse", path, with_nested_markets="true")["event"]["markets"]
        assert not check("GetEventResponse", path, exclude_markets="true")["markets"]


def test_series(check):
    for volume, metadata in itertools.product(("true", "false"), repeat=2):
        options = {"include_volume": volume, "include_product_metadata": metadata}
        for series in check("GetSeriesListResponse", "/series", category="Crypto", **options)["series"][:4]:
            check("GetSeriesResponse", f"/series/{series['ticker']}", include_volume=volume)


def test_candlesticks(check):
    trade = check("GetTradesResponse", "/markets/trades")["trades"][0]
    event = check("GetMarketResponse", f"/markets/{trade['ticker']}")["market"]["event_ticker"]
    series = check("GetEventResponse", f"/events/{event}")["event"]["series_ticker"]
    for period, before in itertools.product((1, 60, 1_440), ("true", "false")):
        span = {"start_ts": START_S, "end_ts": START_S + 86_400, "period_interval": period}
        path = f"/series/{series}/markets/{trade['ticker']}/candlesticks"
        found = check("GetMarketCandlesticksResponse", path, include_latest_before_start=before, **span)
        assert found["candlesticks"]
        check("BatchGetMarketCandlesticksResponse", "/markets/candlesticks", market_tickers=trade["ticker"], **span)
        check("GetEventCandlesticksResponse", f"/series/{series}/events/{event}/candlesticks", **span)


def test_the_exchange_and_the_account(check, simulator, definitions):
    check("ExchangeStatus", "/exchange/status")
    check("GetExchangeScheduleResponse", "/exchange/schedule")
    check("GetHistoricalCutoffResponse", "/historical/cutoff")
    check("GetAccountEndpointCostsResponse", "/account/endpoint_costs")
    limits = simulator.rest("/account/limits", headers=simulator.signed("/trade-api/v2/account/limits"))
    definitions.check("GetAccountApiLimitsResponse", limits.body)


def test_errors_in_the_published_shape(start, definitions):
    simulator = start("--error-shape", "flat")
    for path, status in (
        ("/markets/NONE", 404),
        ("/nothing", 404),
        ("/markets?limit=1001", 400),
        ("/account/limits", 401),
    ):
        answer = simulator.rest(path)
        assert answer.status == status
        definitions.check("ErrorResponse", answer.body)
