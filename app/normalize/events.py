"""Rows of order book changes, quotes, trades and announcements.

In: messages of the stream and trades of REST. Out: rows in the order of their tables' columns. Each row carries what
makes its identity equal on every connection: the exchange's time, and `nth` among identical events.
"""

from collections import OrderedDict
from typing import NamedTuple

import msgspec
from msgspec import Raw

from app.kalshi.messages import (
    EventFeeUpdate,
    EventLifecycle,
    Lifecycle,
    OrderbookDelta,
    Ticker,
    TickerBody,
    Trade,
    TradeFacts,
)
from app.kalshi.rest_objects import RestTrade
from app.normalize.occurrences import Occurrences
from app.normalize.values import (
    COUNTS_E2,
    FROM_REST,
    MILLISECOND_US,
    NO_SEQ,
    ONE_DOLLAR_E6,
    PRICES_E6,
    UnfitMessageError,
    count_e2,
    decoded,
    digest64,
    digest_of_integers,
    exchange_us,
    price_e6,
    required,
    rfc3339_us,
    sent_us,
)
from app.storage.tables import Row


def delta_row(
    message: OrderbookDelta, received_us: int, conn: int, occurrences: Occurrences, *, after_gap: bool
) -> Row:
    """Return a row of orderbook_deltas.

    This runs for most messages of the exchange, so prices and counts of today's wire are looked up in the caches in
    place.
    """
    body = message.msg
    price = PRICES_E6[body.price_dollars] if body.price_dollars else required(price_e6(None, body.price), "price")
    delta = COUNTS_E2[body.delta_fp] if body.delta_fp else required(count_e2(None, body.delta), "change")
    ts_ms, clock, ticker, yes_side = body.ts_ms, body.clock, body.market_ticker, body.side == "yes"
    happened_us = ts_ms * 1_000 if ts_ms is not None else exchange_us(None, body.ts)
    ts_missing = happened_us is None
    if happened_us is None:
        happened_us = sent_us(message.sending_ts_ms, received_us)
    # Without a clock, all changes with the same time count as one moment.
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


QUOTE_FIELDS = tuple(name for name in TickerBody.__struct_fields__ if name not in {"market_ticker", "ts_ms", "ts"})


def ticker_row(message: Ticker, received_us: int, conn: int, occurrences: Occurrences) -> Row:
    body = message.msg
    happened_us = exchange_us(body.ts_ms, body.ts)
    ts_missing = happened_us is None
    if happened_us is None:
        happened_us = sent_us(message.sending_ts_ms, received_us)
    quote = _quote(body)
    digest = digest_of_integers(quote)
    # The digest is compared first: it is at hand, and nearly every quote ends the test there.
    if digest == NO_QUOTE and not any(getattr(body, name) is not None for name in QUOTE_FIELDS):
        raise UnfitMessageError("it has none of the known fields: they may have been renamed")
    nth = occurrences.nth(body.market_ticker, happened_us, digest)
    if quote[PRICE] == 0:
        quote = _never_traded(quote)
    return (happened_us, received_us, digest, *quote, nth, ts_missing, body.market_ticker, conn, message.sid)


def _quote(body: TickerBody) -> tuple[int | None, ...]:
    """Return the stored part of a quote, in the table's order: the digest covers it, so it must never change."""
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


PRICE = 7  # the place of price_e6 in a quote


def _never_traded(quote: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """Return the quote without the price of 0 that the exchange sends of a market that never traded. The digest is of
    what was sent."""
    return (*quote[:PRICE], None, *quote[PRICE + 1 :])


NO_QUOTE = digest_of_integers(_quote(TickerBody(market_ticker="")))


# A trade of the stream and the same trade of REST must become the same row, although one of them has the finer time:
# both times are cut to milliseconds.

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
    trade = decoded(_decoder, content)
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
        raise UnfitMessageError(f"its prices {yes_e6} and {no_e6} do not add up to one dollar")
    return yes_e6


def _taker_yes(trade: TradeFacts) -> bool:
    side = trade.taker_outcome_side or trade.taker_side
    if side is None:
        raise UnfitMessageError("it has no taker side")
    return side == "yes"


def _to_milliseconds(moment_us: int) -> int:
    return moment_us - moment_us % MILLISECOND_US


# Sorted keys, and numbers with their original digits: equal facts give equal bytes.
_encode = msgspec.json.Encoder(order="deterministic", decimal_format="number").encode
# These messages carry no event_type: the message type is the event type.
EVENT_TYPES: dict[type[Lifecycle], str] = {EventLifecycle: "event_lifecycle", EventFeeUpdate: "event_fee_update"}
# Copies of one announcement carry times within this distance, at one gatherer and between gatherers (app/merge).
COPIES_US = 5_000_000
REPETITION_US = 60_000_000
MOST_REPETITIONS = 100

Announcement = tuple[str, str, int]
Line = tuple[int, str]  # the number of a connection, and the channel


def lifecycle_row(message: Lifecycle, received_us: int, line: Line, repetitions: "Repetitions") -> Row:
    body = message.msg
    event_type = EVENT_TYPES.get(type(message)) or _text(body, "event_type")
    ticker = _text(body, "event_ticker" if type(message) in EVENT_TYPES else "market_ticker")
    payload = _encode(body)
    digest = digest64(payload)
    seq = NO_SEQ if message.seq is None else message.seq
    announced_us = sent_us(message.sending_ts_ms, received_us)
    nth = repetitions.nth((ticker, event_type, digest), line, announced_us)
    return (announced_us, received_us, digest, nth, ticker, event_type, payload, line[0], message.sid, seq)


def _text(body: dict[str, object], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise UnfitMessageError(f"it has no {key}")
    return value


class Repetitions:
    """Number equal announcements as one gatherer received them, over all its connections and sockets.

    Copies of one announcement carry different times on different lines, so the time alone cannot distinguish a copy
    from a repetition:
    - On the same line, an equal announcement is a repetition, even if the line was reconnected in between.
    - On another line, within seconds of one that this line has not delivered yet, it is a copy of the nearest of these.

    A line is the number of a connection and the channel it is subscribed to, not a socket.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._latest: OrderedDict[Announcement, list[_Numbered]] = OrderedDict()

    def nth(self, announcement: Announcement, line: Line, announced_us: int) -> int:
        """Return the announcement's number; within a minute, only copies of one announcement have the same."""
        # Removed and added again, so that the order of the dictionary is that of the latest announcements.
        known = [
            each
            for each in self._latest.pop(announcement, ())[-MOST_REPETITIONS:]
            if abs(announced_us - each.announced_us) <= REPETITION_US
        ]
        self._latest[announcement] = known
        if len(self._latest) > self._capacity:
            self._latest.popitem(last=False)
        copies = [each for each in known if each.is_copied_by(line, announced_us)]
        if copies:
            nearest = min(copies, key=lambda each: abs(announced_us - each.announced_us))
            nearest.lines.append(line)
            return nearest.number
        number = 1 + max((each.number for each in known), default=-1)
        known.append(_Numbered(announced_us, number, [line]))
        return number


class _Numbered(NamedTuple):
    announced_us: int
    number: int
    lines: list[Line]

    def is_copied_by(self, line: Line, announced_us: int) -> bool:
        return line not in self.lines and abs(announced_us - self.announced_us) <= COPIES_US
