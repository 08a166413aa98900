from app.kalshi.records import OrderbookDelta
from app.normal.decimals import COUNTS_E2, PRICES_E6, count_e2, price_e6, required
from app.normal.occurrences import Occurrences
from app.normal.times import exchange_us, sent_us
from app.store.tables import Row


def delta_row(
    message: OrderbookDelta, received_us: int, conn: int, occurrences: Occurrences, *, after_gap: bool
) -> Row:
    """A row of orderbook_deltas. This runs for most messages of the exchange: today's wire is looked up in place."""
    body = message.msg
    price = PRICES_E6[body.price_dollars] if body.price_dollars else required(price_e6(None, body.price), "price")
    delta = COUNTS_E2[body.delta_fp] if body.delta_fp else required(count_e2(None, body.delta), "change")
    ts_ms, clock, ticker, yes_side = body.ts_ms, body.clock, body.market_ticker, body.side == "yes"
    happened_us = ts_ms * 1_000 if ts_ms is not None else exchange_us(None, body.ts)
    ts_missing = happened_us is None
    if happened_us is None:
        happened_us = sent_us(message.sending_ts_ms, received_us)
    # Without a clock, what happened at one time counts as one moment.
    nth = occurrences.nth(ticker, clock if clock >= 0 else happened_us, (price, delta, yes_side))
    return (
        happened_us,
        received_us,
        clock,
        delta,
        price,
        nth,
        yes_side,
        after_gap,
        ts_missing,
        ticker,
        conn,
        message.sid,
        message.seq,
    )
