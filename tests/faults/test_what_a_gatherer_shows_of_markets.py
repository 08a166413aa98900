"""A gatherer's ops port beside the exchange's own REST, after a time in which markets were traded."""

from decimal import Decimal

import pytest

from app.normalize.values import rfc3339_us
from tests.faults.gathering import gatherer, let_pass, settings_of
from tests.processes import wait_until
from tests.simulator.running import fetch

TEXTS = {"title": "title", "status": "status", "market_type": "market_type", "result": "result"}
PRICES = {"yes_bid": "yes_bid_dollars", "yes_ask": "yes_ask_dollars", "last_price": "last_price_dollars"}
TIMES = {"open_time": "open_time", "close_time": "close_time", "expiration_time": "expiration_time"}


def shown_by(recorder):
    markets, after = {}, ""
    while after is not None:
        page = recorder.get(f"/admin/markets/active?limit=100&after={after}").body
        markets |= {market["ticker"]: market for market in page["markets"]}
        after = page["next"]
    return markets


def differences(shown, market):
    """Names of what the gatherer says otherwise than REST."""
    yield from (name for name, theirs in TEXTS.items() if shown[name] != market[theirs])
    yield from (name for name, theirs in TIMES.items() if rfc3339_us(shown[name]) != rfc3339_us(market[theirs]))
    for name, theirs in PRICES.items():
        price_e6 = int(Decimal(market[theirs]).scaleb(6))
        # REST writes 0 where nothing was traded yet.
        is_missing = name == "last_price" and not price_e6
        if shown[f"{name}_e6"] != (None if is_missing else price_e6):
            yield name
    if shown["volume"] != market["volume_fp"]:
        yield "volume"


def test_it_shows_markets_as_the_exchange_has_them_with_the_last_quotes(simulator, databases, tmp_path):
    with gatherer(settings_of(simulator, databases, tmp_path / "data")) as recorder:
        recorder.wait_until_ready()
        let_pass(simulator, 2)
        simulator.stop_the_clock()
        # What changed between a market's first reading and the opening of the sockets for tickers, the next walk tells.
        assert fetch(f"{recorder.ops}/admin/reconcile", "POST").status == 200
        markets = {
            market["ticker"]: market
            for market in simulator.rest("/markets", limit=1_000, status="open").body["markets"]
        }
        different = {}

        def all_alike():
            shown = shown_by(recorder)
            both = shown.keys() & markets.keys()
            different.clear()
            different.update((ticker, [*differences(shown[ticker], markets[ticker])]) for ticker in both)
            return not any(different.values()) and both

        try:
            both = wait_until(all_alike, what="the last quotes")
        except AssertionError:
            pytest.fail(f"these differ: { {ticker: names for ticker, names in different.items() if names} }")
        assert len(both) > 100
        one = min(both)
        alone = recorder.get(f"/admin/markets/{one}").body
        assert (alone["ticker"], alone["trading_status"]) == (one, "trading")
        assert any(market["volume"] != "0.00" for market in shown_by(recorder).values())
        assert recorder.get("/admin/markets/KX-GONE").status == 404
