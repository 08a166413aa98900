"""One market, as the admin service shows it."""

from datetime import UTC, datetime, timedelta

from app.ops.live import LiveMarket
from tests.admin.seeded import TICKER
from tests.gatherers import execute

QUOTE = ("yes_bid", "yes_ask", "last_price", "volume", "yes_bid_e6", "yes_ask_e6", "last_price_e6", "volume_e2")


def test_a_market_is_shown_with_its_last_ticker(api):
    market = api.json(f"/admin/markets/{TICKER}")
    assert [market[name] for name in QUOTE] == [
        *("0.430000", "0.450000", "0.430000", "0.01"),
        *(430_000, 450_000, 430_000, 1),
    ]
    newest = api.json(f"/admin/markets/{TICKER}/tickers", limit=1)["tickers"][0]
    assert datetime.fromisoformat(market["quoted_at"]) == datetime.fromisoformat(newest["exchange_ts"])
    assert (market["title"], market["status"]) == ("Will it rain more than 1 mm?", "active")


def test_a_market_of_which_no_ticker_came_has_no_quote(api):
    market = api.json("/admin/markets/KXRAIN-26NOV21-M002")
    assert {market[name] for name in (*QUOTE, "quoted_at")} == {None}


def test_its_names_are_those_of_a_gatherer_s_ops_port(api):
    market = api.json(f"/admin/markets/{TICKER}")
    assert set(LiveMarket.__struct_fields__) - market.keys() == {"trading_status"}


def test_the_openapi_document_says_all_that_is_shown_by_those_names(api):
    document = api.json("/openapi.json")
    documented = document["components"]["schemas"]["Market"]["properties"]
    assert set(LiveMarket.__struct_fields__) - documented.keys() == {"trading_status"}
    assert documented["yes_bid_e6"]["type"] == "integer"


def test_trades_of_one_millisecond_make_the_candle_that_the_lake_makes_of_them(changing):
    at = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=1)
    execute(changing.dsn, "DELETE FROM trades")
    # One order took two levels, the best one first; a later one was received after it. Their ids say the opposite.
    for price_e6, received_after_ms, trade_id in ((410_000, 5, "c"), (420_000, 5, "b"), (400_000, 9, "a")):
        execute(
            changing.dsn,
            "INSERT INTO trades (exchange_ts, received_at, size_e2, yes_price_e6, taker_yes, is_block_trade, from_rest, "
            "ticker, trade_id) VALUES (%s, %s, 100, %s, TRUE, FALSE, FALSE, %s, %s)",
            (at, at + timedelta(milliseconds=received_after_ms), price_e6, TICKER, trade_id),
        )
    body = changing.json(f"/admin/markets/{TICKER}/candles", **{"from": (at - timedelta(minutes=1)).isoformat()})
    [candle] = body["candles"]
    assert (candle["open_e6"], candle["close_e6"], candle["trades"]) == (410_000, 400_000, 3)
