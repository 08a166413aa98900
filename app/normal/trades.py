"""Trades of the stream and of REST, which must become the same row: both tell the same trade, one of them finer."""

import msgspec
from msgspec import Raw

from app.kalshi.records import Trade, TradeFacts
from app.kalshi.rest_objects import RestTrade
from app.normal.decimals import ONE_DOLLAR_E6, count_e2, price_e6, required
from app.normal.lineage import FROM_REST, NO_SEQ
from app.normal.times import MILLISECOND_US, exchange_us, rfc3339_us, sent_us
from app.normal.unfit import UnfitMessageError, fitting
from app.store.tables import Row

_decoder = msgspec.json.Decoder(RestTrade)


def trade_row(message: Trade, received_us: int, conn: int) -> Row:
    body = message.msg
    happened_us = exchange_us(body.ts_ms, body.ts)
    if happened_us is None:
        happened_us = sent_us(message.sending_ts_ms, received_us)
    seq = NO_SEQ if message.seq is None else message.seq
    facts = _facts(body, body.market_ticker, from_rest=False)
    return (_to_milliseconds(happened_us), received_us, *facts, conn, message.sid, seq)


def rest_trade_row(content: bytes | Raw, received_us: int) -> Row:
    trade = fitting(_decoder, content)
    happened_us = rfc3339_us(trade.created_time)
    return (_to_milliseconds(happened_us), received_us, *_facts(trade, trade.ticker, from_rest=True), *FROM_REST)


def _facts(trade: TradeFacts, ticker: str, *, from_rest: bool) -> Row:
    size_e2 = required(count_e2(trade.count_fp, trade.count), "count")
    return (
        size_e2,
        _yes_price_e6(trade),
        _taker_yes(trade),
        trade.is_block_trade,
        from_rest,
        ticker,
        trade.trade_id,
    )


def _yes_price_e6(trade: TradeFacts) -> int:
    yes_e6 = required(price_e6(trade.yes_price_dollars, trade.yes_price), "price")
    no_e6 = price_e6(trade.no_price_dollars, trade.no_price)
    if no_e6 is not None and yes_e6 + no_e6 != ONE_DOLLAR_E6:
        raise UnfitMessageError(f"its prices {yes_e6} and {no_e6} do not make one dollar")
    return yes_e6


def _taker_yes(trade: TradeFacts) -> bool:
    side = trade.taker_outcome_side or trade.taker_side
    if side is None:
        raise UnfitMessageError("it says no taker's side")
    return side == "yes"


def _to_milliseconds(moment_us: int) -> int:
    return moment_us - moment_us % MILLISECOND_US
