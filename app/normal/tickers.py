from app.kalshi.records import Ticker, TickerBody
from app.normal.decimals import count_e2, price_e6
from app.normal.digest import digest_of_integers
from app.normal.occurrences import Occurrences
from app.normal.times import exchange_us, sent_us
from app.normal.unfit import UnfitMessageError
from app.store.tables import Row

QUOTE_FIELDS = tuple(name for name in TickerBody.__struct_fields__ if name not in {"market_ticker", "ts_ms", "ts"})


def ticker_row(message: Ticker, received_us: int, conn: int, occurrences: Occurrences) -> Row:
    body = message.msg
    happened_us = exchange_us(body.ts_ms, body.ts)
    ts_missing = happened_us is None
    if happened_us is None:
        happened_us = sent_us(message.sending_ts_ms, received_us)
    quote = _quote(body)
    digest = digest_of_integers(quote)
    if digest == NO_QUOTE and not any(getattr(body, name) is not None for name in QUOTE_FIELDS):
        raise UnfitMessageError("it says nothing that is known: its fields may have other names now")
    nth = occurrences.nth(body.market_ticker, happened_us, digest)
    return (happened_us, received_us, digest, *quote, nth, ts_missing, body.market_ticker, conn, message.sid)


def _quote(body: TickerBody) -> tuple[int | None, ...]:
    """What is stored of a quote, in the table's order. The digest is of this, so its order must never change."""
    return (
        count_e2(body.yes_bid_size_fp, None),
        count_e2(body.yes_ask_size_fp, None),
        count_e2(body.last_trade_size_fp, None),
        count_e2(body.volume_fp, body.volume),
        count_e2(body.open_interest_fp, body.open_interest),
        body.dollar_volume,
        body.dollar_open_interest,
        price_e6(body.price_dollars, body.price),
        price_e6(body.yes_bid_dollars, body.yes_bid),
        price_e6(body.yes_ask_dollars, body.yes_ask),
    )


NO_QUOTE = digest_of_integers(_quote(TickerBody(market_ticker="")))
