"""The interface that was asked for, name by name, against the code, the documentation and what HTTP answers."""

import re

import pytest

from admin.api.listings.catalog import ACTIVE_MARKETS
from admin.api.schemas import MarketSchema as MarketOfTheAdminService
from app.markets.ingest import CHANGE_BUFFER_SIZE
from app.markets.market import STATUSES, Market, MarketChange
from app.ops.live import LiveMarket
from app.settings import Settings
from tests.code_base.sources import ROOT
from workers.registry.registry import MarketRegistry

# As they were asked for, to ours.
CALLS = {
    "Start": "start",
    "Stop": "stop",
    "GetActiveMarkets": "get_active_markets",
    "GetMarket": "get_market",
    "SubscribeChanges": "subscribe_changes",
    "SetLifecycleSource": "set_lifecycle_source",
}
MARKET = {
    "Ticker": "ticker",
    "EventTicker": "event_ticker",
    "Title": "title",
    "MarketStatus": "status",
    "TradingStatus": "trading_status",
    "MarketType": "market_type",
    "Result": "result",
    "YesBid": "yes_bid_e6",
    "YesAsk": "yes_ask_e6",
    "LastPrice": "last_price_e6",
    "Volume": "volume_e2",
    "OpenTs": "open_us",
    "CloseTs": "close_us",
    "ExpirationTs": "expiration_us",
    "UpdatedAt": "updated_us",
}
CHANGE = {
    "Ticker": "ticker",
    "EventType": "event_type",
    "OldStatus": "old_status",
    "NewStatus": "new_status",
    "Market": "market",
}
# Of the fields whose names in JSON are others.
IN_JSON = {
    "open_us": "open_time",
    "close_us": "close_time",
    "expiration_us": "expiration_time",
    "updated_us": "updated_time",
}
PAGE = (ROOT / "docs/registry.md").read_text()


def section(name):
    return PAGE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize(("asked", "ours"), CALLS.items())
def test_every_call_is_there_and_in_the_documentation(asked, ours):
    assert callable(getattr(MarketRegistry, ours, None))
    assert re.search(rf"^\| `{asked}` \| `{ours}\(\w*\)` \|", section("Calls"), re.MULTILINE)


@pytest.mark.parametrize(("asked", "ours"), MARKET.items())
def test_every_field_of_a_market_is_there_in_the_documentation_and_in_json(asked, ours):
    assert ours in Market._fields
    in_json = IN_JSON.get(ours, ours)
    assert re.search(rf"^\| `{asked}` \| `{ours}` \| `{in_json}`", section("Market"), re.MULTILINE)
    assert in_json in LiveMarket.__struct_fields__


@pytest.mark.parametrize(("asked", "ours"), CHANGE.items())
def test_every_field_of_a_change_is_there_and_in_the_documentation(asked, ours):
    assert ours in MarketChange._fields
    assert re.search(rf"^\| `{asked}` \| `{ours}` \|", section("MarketChange"), re.MULTILINE)


def test_every_status_is_in_the_documentation():
    assert len(STATUSES) == 8
    assert [status for status in STATUSES if f"`{status}`" not in section("Market")] == []


def test_the_constants_are_those_that_were_asked_for():
    settings = Settings()
    assert CHANGE_BUFFER_SIZE == 1_000
    assert (settings.status_seconds, settings.events_seconds) == (60, 600)
    assert 300 <= settings.reconcile_seconds <= 600


def test_the_admin_service_documents_the_same_names_for_the_same_things():
    names = {IN_JSON.get(ours, ours) for ours in MARKET.values()}
    # Production does not keep what shards said of trading.
    assert names - MarketOfTheAdminService().fields.keys() == {"trading_status"}
    of_lists = {column.name for column in ACTIVE_MARKETS.columns}
    assert names - of_lists == {"trading_status", "yes_bid_e6", "yes_ask_e6", "last_price_e6", "volume_e2"}
    others = {"yes_sub_title", "mve_collection_ticker"}
    assert of_lists - set(LiveMarket.__struct_fields__) == others
