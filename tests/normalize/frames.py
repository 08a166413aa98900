"""Frames as the exchange writes them, on today's wire and on the older one, from plain values."""

import json

NOON_MS = 1_793_534_400_000  # 2026-11-01 12:00 UTC
SENT_MS = NOON_MS + 3
RECEIVED_US = NOON_MS * 1_000 + 20_000
TICKER = "KXTEST-26NOV01-T1"


def dollars(price_e6, decimals=4):
    """The price as a string of as many decimals, or more where it needs them."""
    digits = f"{price_e6:07}"
    fraction = digits[-6:].rstrip("0").ljust(decimals, "0")
    return f"{digits[:-6]}.{fraction}"


def contracts(count_e2):
    digits = f"{abs(count_e2):03}"
    return f"{'-' if count_e2 < 0 else ''}{digits[:-2]}.{digits[-2:]}"


def frame(kind, body, sid=2, seq=1, sending_ts_ms=SENT_MS, **more):
    envelope = {"type": kind, "sid": sid, "seq": seq, "sending_ts_ms": sending_ts_ms, **more, "msg": body}
    said = {key: value for key, value in envelope.items() if value is not None}
    return json.dumps(said, separators=(",", ":")).encode()


def delta(price_e6=960_000, delta_e2=-5_400, yes_side=True, clock=7, ts_ms=NOON_MS, ticker=TICKER, **envelope):
    body = {
        "market_ticker": ticker,
        "market_id": "9b0f",
        "price_dollars": dollars(price_e6),
        "delta_fp": contracts(delta_e2),
        "side": "yes" if yes_side else "no",
        **given(clock=clock, ts_ms=ts_ms),
    }
    return frame("orderbook_delta", body, **envelope)


def snapshot(yes=(), no=(), clock=7, ticker=TICKER, **envelope):
    body = {"market_ticker": ticker, **given(clock=clock)}
    for side, levels in (("yes_dollars_fp", yes), ("no_dollars_fp", no)):
        if levels:
            body[side] = [[dollars(price), contracts(size)] for price, size in levels]
    return frame("orderbook_snapshot", body, **envelope)


TRADE = {
    "trade_id": "d91bc706",
    "market_ticker": TICKER,
    "yes_price_dollars": "0.3600",
    "no_price_dollars": "0.6400",
    "count_fp": "136.00",
    "taker_side": "no",
    "taker_outcome_side": "no",
    "taker_book_side": "ask",
    "is_block_trade": False,
    "ts_ms": NOON_MS,
}
TICKER_BODY = {
    "market_ticker": TICKER,
    "price_dollars": "0.4800",
    "yes_bid_dollars": "0.4500",
    "yes_ask_dollars": "0.5300",
    "volume_fp": "33896.00",
    "open_interest_fp": "20422.00",
    "dollar_volume": 16948,
    "dollar_open_interest": 10211,
    "yes_bid_size_fp": "300.00",
    "yes_ask_size_fp": "150.00",
    "last_trade_size_fp": "25.00",
    "ts_ms": NOON_MS,
}


def trade(**changes):
    return frame("trade", given(**{**TRADE, **changes}))


def ticker(envelope=None, **changes):
    return frame("ticker", given(**{**TICKER_BODY, **changes}), **{"seq": None, **(envelope or {})})


def lifecycle(kind="market_lifecycle_v2", envelope=None, **body):
    return frame(kind, {"market_ticker": TICKER, **body}, **(envelope or {}))


def given(**fields):
    return {name: value for name, value in fields.items() if value is not None}
