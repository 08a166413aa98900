"""Markets as REST shows them, and as the registry knows them."""

import json

from app.markets.market import Market

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
DAY_US = 24 * 60 * MINUTE_US
NOW_US = 1_795_246_814 * SECOND_US


def market(ticker="KXA-1-T1", status="active", **facts):
    defaults = {"open_us": NOW_US - MINUTE_US, "close_us": NOW_US + 60 * MINUTE_US}
    return Market(ticker, facts.pop("event_ticker", ticker.rpartition("-")[0]), status, **{**defaults, **facts})


def market_json(ticker="KXA-1-T1", status="active", **fields):
    body = {
        "ticker": ticker,
        "event_ticker": ticker.rpartition("-")[0],
        "status": status,
        "title": "Will it rain?",
        "market_type": "binary",
        "result": "",
        "exchange_index": 0,
        "open_time": "2026-11-21T14:00:00Z",
        "close_time": "2026-12-21T14:00:00Z",
        "yes_bid_dollars": "0.4200",
    }
    return json.dumps({**body, **fields}).encode()


def lifecycle(event_type, ticker="KXA-1-T1", **facts):
    return {"market_ticker": ticker, "event_type": event_type, **facts}


def frame(body, message_type="market_lifecycle_v2"):
    return json.dumps({"type": message_type, "sid": 1, "seq": 1, "msg": body}).encode()
