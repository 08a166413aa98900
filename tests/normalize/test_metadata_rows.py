import json
import math
from datetime import UTC, datetime

import msgspec
import pytest

from app.normalize.metadata import event_row, market_row, series_row
from app.normalize.values import UnfitMessageError
from app.storage.tables import EVENTS, MARKETS, SERIES
from tests.specifications import published

UPDATED_US = 1_793_534_400_000_000
MARKET = {
    "ticker": "KXTEST-26NOV01-T1",
    "event_ticker": "KXTEST-26NOV01",
    "market_type": "binary",
    "title": "Will it rain?",
    "yes_sub_title": "Rain",
    "no_sub_title": "None",
    "status": "active",
    "result": "",
    "exchange_index": 2,
    "created_time": "2026-10-01T20:01:37.409856Z",
    "open_time": "2026-10-02T19:00:00Z",
    "close_time": "2026-11-01T19:00:00Z",
    "latest_expiration_time": "2026-11-08T19:00:00Z",
    "updated_time": "2026-10-02T19:00:00.58Z",
    "price_level_structure": "linear_cent",
    "settlement_value_dollars": "0.123456",
    "custom_strike": {"round_digits": "2"},
    "rules_primary": "If it rains …",
}
QUOTES = [
    "yes_bid_dollars",
    "yes_bid_size_fp",
    "yes_ask_dollars",
    "yes_ask_size_fp",
    "no_bid_dollars",
    "no_ask_dollars",
    "last_price_dollars",
    "previous_yes_bid_dollars",
    "previous_yes_ask_dollars",
    "previous_price_dollars",
    "volume_fp",
    "volume_24h_fp",
    "open_interest_fp",
    "liquidity_dollars",
    "yes_bid",
    "yes_ask",
    "no_bid",
    "no_ask",
    "last_price",
    "previous_yes_bid",
    "previous_yes_ask",
    "previous_price",
    "volume",
    "volume_24h",
    "open_interest",
    "liquidity",
]


def us(*date):
    return int(datetime(*date, tzinfo=UTC).timestamp()) * 1_000_000


def row_of(make, table, content):
    written = content if isinstance(content, bytes) else json.dumps(content).encode()
    row = dict(zip(table.column_names, make(written, UPDATED_US), strict=True))
    return row | {"details": json.loads(row["details"])}


def test_a_market_becomes_a_row():
    assert row_of(market_row, MARKETS, MARKET) == {
        "ticker": "KXTEST-26NOV01-T1",
        "event_ticker": "KXTEST-26NOV01",
        "title": "Will it rain?",
        "yes_sub_title": "Rain",
        "no_sub_title": "None",
        "status": "active",
        "market_type": "binary",
        "result": "",
        "exchange_index": 2,
        "created_time": us(2026, 10, 1, 20, 1, 37) + 409_856,
        "open_time": us(2026, 10, 2, 19),
        "close_time": us(2026, 11, 1, 19),
        "expiration_time": us(2026, 11, 8, 19),
        "settlement_ts": None,
        "settlement_value_e6": 123_456,
        "price_level_structure": "linear_cent",
        "mve_collection_ticker": None,
        "updated_time": us(2026, 10, 2, 19) + 580_000,
        "updated_at": UPDATED_US,
        "details": {
            "latest_expiration_time": "2026-11-08T19:00:00Z",
            "custom_strike": {"round_digits": "2"},
            "rules_primary": "If it rains …",
        },
    }


@pytest.mark.parametrize("quote", QUOTES)
def test_what_changes_with_every_trade_is_no_detail(quote):
    assert row_of(market_row, MARKETS, MARKET | {quote: "0.3400"}) == row_of(market_row, MARKETS, MARKET)


def test_a_strike_keeps_its_digits():
    written = b'{"ticker":"M","event_ticker":"E","status":"active","floor_strike":83950.620}'
    assert market_row(written, UPDATED_US)[-1] == b'{"floor_strike":83950.620}'


def test_fields_that_do_not_apply_may_be_absent_null_or_empty():
    least = {"ticker": "M", "event_ticker": "E", "status": "initialized"}
    spelled_out = least | {"open_time": None, "close_time": "", "settlement_value_dollars": "", "exchange_index": None}
    assert row_of(market_row, MARKETS, least) == row_of(market_row, MARKETS, spelled_out)
    assert row_of(market_row, MARKETS, least)["details"] == {}


def test_an_event_becomes_a_row_without_its_markets():
    event = {
        "event_ticker": "KXTEST-26NOV01",
        "series_ticker": "KXTEST",
        "title": "Rain",
        "sub_title": "in November",
        "mutually_exclusive": True,
        "last_updated_ts": "2026-10-01T00:00:00Z",
        "settlement_sources": None,
        "markets": [MARKET],
    }
    assert row_of(event_row, EVENTS, event) == {
        "event_ticker": "KXTEST-26NOV01",
        "series_ticker": "KXTEST",
        "title": "Rain",
        "sub_title": "in November",
        "mutually_exclusive": True,
        "exchange_index": None,
        "last_updated_ts": us(2026, 10, 1),
        "updated_at": UPDATED_US,
        "details": {"settlement_sources": None},
    }


def test_a_series_becomes_a_row():
    series = {"ticker": "KXTEST", "title": "Rain", "category": "Climate", "fee_multiplier": 1, "volume_fp": "5.00"}
    assert row_of(series_row, SERIES, series) == {
        "ticker": "KXTEST",
        "title": "Rain",
        "category": "Climate",
        "frequency": None,
        "exchange_index": None,
        "last_updated_ts": None,
        "updated_at": UPDATED_US,
        "details": {"fee_multiplier": 1},
    }


def test_objects_may_come_as_they_lie_in_their_page():
    page = msgspec.json.decode(json.dumps({"markets": [MARKET]}).encode(), type=dict[str, list[msgspec.Raw]])
    assert market_row(page["markets"][0], UPDATED_US) == market_row(json.dumps(MARKET).encode(), UPDATED_US)


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b'{"ticker":"M"}',
        json.dumps(MARKET | {"close_time": "soon"}).encode(),
        json.dumps(MARKET | {"settlement_value_dollars": "0.1234567"}).encode(),
        b'{"ticker":"M","event_ticker":"E","status":"active","deep":' + b"[" * 100_000,
        b'{"ticker":"M","event_ticker":"E","status":"active","strike":1e',
    ],
)
def test_an_object_that_does_not_fit_is_refused(content):
    with pytest.raises(UnfitMessageError):
        market_row(content, UPDATED_US)


MAKERS = {"Market": (market_row, MARKETS), "EventData": (event_row, EVENTS), "Series": (series_row, SERIES)}


@pytest.mark.parametrize("name", MAKERS)
def test_an_object_with_every_published_field_fits(name):
    definitions = published("rest-schema-defs-*.json")
    definitions = definitions.get("$defs", definitions)
    make, table = MAKERS[name]
    whole = {field: value_of(schema) for field, schema in definitions[name]["properties"].items()}
    row = row_of(make, table, whole)
    assert [column for column in table.column_names if row[column] is None] == []
    assert not set(row["details"]) & set(table.column_names)
    required = {field: whole[field] for field in definitions[name]["required"]}
    assert row_of(make, table, required)["ticker" if "ticker" in required else "event_ticker"]


def value_of(schema):
    if "allOf" in schema or "ExchangeIndex" in str(schema.get("$ref")):
        return 1
    if "FixedPoint" in str(schema.get("$ref")):
        return "0.5000"
    by_type = {"integer": 1, "number": math.pi, "boolean": True, "array": [], "object": {}}
    if schema.get("format") == "date-time":
        return "2026-11-01T12:00:00Z"
    return schema.get("enum", [by_type.get(schema.get("type"), "text")])[0]


@pytest.mark.parametrize("make", [market_row, event_row, series_row])
def test_a_number_beyond_any_decimal_does_not_fit(make):
    named = {"ticker": "A", "event_ticker": "E", "series_ticker": "S", "title": "T", "status": "active"}
    content = json.dumps({**named, "strike": 0}).replace(": 0", ": 1e99999999999999999999").encode()
    with pytest.raises(UnfitMessageError):
        make(content, UPDATED_US)
