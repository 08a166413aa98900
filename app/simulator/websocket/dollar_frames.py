"""Today's wire: decimal dollars, two-decimal counts, an exchange clock.

A message's body is encoded once and shared by all connections; only the envelope before it differs between them.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import NamedTuple

import msgspec

from app.simulator.market.catalog import MarketName
from app.simulator.market.changes import SimBook, SimDelta, SimLifecycle, SimTicker, SimTrade
from app.simulator.market.prices import ONE_DOLLAR_E6, contracts, dollars_text
from app.simulator.websocket.commands import CHANNELS

# The exchange's microseconds as the texts of its wire.

SECOND_US = 1_000_000
DAY_SECONDS = 86_400


@lru_cache(maxsize=4_096)
def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_SECONDS, UTC).strftime("%Y-%m-%dT")


@cache  # bounded: a day has 86,400 seconds
def _time(second: int) -> str:
    return f"{second // 3_600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


def _second(seconds: int) -> str:
    day, second = divmod(seconds, DAY_SECONDS)
    return _date(day) + _time(second)


def whole_seconds(at_us: int) -> str:
    return _second(at_us // SECOND_US) + "Z"


def microseconds(at_us: int) -> str:
    seconds, rest_us = divmod(at_us, SECOND_US)
    return f"{_second(seconds)}.{rest_us:06d}Z"


class Message(NamedTuple):
    """`{"type":"…","sid":` SID [`,"seq":` SEQ] [`,"sending_ts_ms":` MS] `,"msg":…}`"""

    head: bytes
    body: bytes
    has_seq: bool = True

    def payload(self, sid: int, seq: int, stamp: bytes, command_id: int = 0) -> bytes:
        number = b',"seq":%d' % seq if self.has_seq else b""
        answers = b',"id":%d' % command_id if command_id else b""
        return b"%b%d%b%b%b%b" % (self.head, sid, number, answers, stamp, self.body)


def head_of(message_type: str) -> bytes:
    return b'{"type":"%b","sid":' % message_type.encode()


COMBO_PREFIX = "KXMVE"
LIFECYCLE = "market_lifecycle_v2"
MULTIVARIATE = "multivariate_market_lifecycle"
LIFECYCLE_MESSAGES = frozenset({LIFECYCLE, MULTIVARIATE, "event_lifecycle", "event_fee_update"})
DELTA, SNAPSHOT, TRADE, TICKER = (
    head_of(kind) for kind in ("orderbook_delta", "orderbook_snapshot", "trade", "ticker")
)


class DollarFrames:
    """The encoder of today's wire."""

    channels = CHANNELS
    refuses_repetition = False

    def lifecycle_channels(self, change: SimLifecycle) -> tuple[str, ...]:
        if change.message_type not in LIFECYCLE_MESSAGES:
            return ()
        return (MULTIVARIATE if change.ticker.startswith(COMBO_PREFIX) else LIFECYCLE,)

    def stamp(self, now_ms: int) -> bytes:
        return b',"sending_ts_ms":%d' % now_ms

    def market_list(self, key: str, names: list[str]) -> dict[str, object]:
        return {"msg": {key: names}}

    def subscription_list(self, listed: list[dict[str, object]]) -> dict[str, object]:
        return {"type": "ok", "msg": listed}

    def delta(self, name: MarketName, change: SimDelta, *, yes_price: bool, timed: bool) -> Message:
        mirrored = yes_price and not change.yes_side
        price_e6 = ONE_DOLLAR_E6 - change.price_e6 if mirrored else change.price_e6
        time = f',"ts":"{microseconds(_finer_us(change))}","ts_ms":{change.at_us // 1_000}' if timed else ""
        body = (
            f',"msg":{{"market_ticker":"{name.ticker}","market_id":"{name.market_id}","clock":{change.clock},'
            f'"price_dollars":"{dollars_text(price_e6)}","delta_fp":"{contracts(change.delta_e2)}",'
            f'"side":"{"yes" if change.yes_side else "no"}"{time}}}}}'
        )
        return Message(DELTA, body.encode())

    def snapshot(self, name: MarketName, book: SimBook, *, yes_price: bool) -> Message:
        no_levels = [(ONE_DOLLAR_E6 - price, size) for price, size in reversed(book.no)] if yes_price else book.no
        sides = _side("yes_dollars_fp", book.yes) + _side("no_dollars_fp", no_levels)
        body = (
            f',"msg":{{"market_ticker":"{name.ticker}","market_id":"{name.market_id}","clock":{book.clock}{sides}}}}}'
        )
        return Message(SNAPSHOT, body.encode())

    def trade(self, name: MarketName, change: SimTrade) -> Message:
        side, book_side = ("yes", "bid") if change.taker_yes else ("no", "ask")
        body = (
            f',"msg":{{"trade_id":"{change.trade_id}","market_ticker":"{name.ticker}",'
            f'"yes_price_dollars":"{dollars_text(change.yes_price_e6)}",'
            f'"no_price_dollars":"{dollars_text(ONE_DOLLAR_E6 - change.yes_price_e6)}",'
            f'"count_fp":"{contracts(change.size_e2)}",'
            f'"taker_side":"{side}","taker_outcome_side":"{side}","taker_book_side":"{book_side}",'
            f'"is_block_trade":{"true" if change.is_block_trade else "false"},'
            f'"ts":{change.at_us // 1_000_000},"ts_ms":{change.at_us // 1_000}}}}}'
        )
        return Message(TRADE, body.encode())

    def ticker(self, name: MarketName, change: SimTicker) -> Message:
        price = dollars_text(change.price_e6 or 0)  # of a market that never traded: an empty text is an error to many
        body = (
            f',"msg":{{"market_id":"{name.market_id}","market_ticker":"{name.ticker}","price_dollars":"{price}",'
            f'"yes_bid_dollars":"{dollars_text(change.yes_bid_e6)}","yes_ask_dollars":"{dollars_text(change.yes_ask_e6)}",'
            f'"yes_bid_size_fp":"{contracts(change.yes_bid_size_e2)}",'
            f'"yes_ask_size_fp":"{contracts(change.yes_ask_size_e2)}",'
            f'"last_trade_size_fp":"{contracts(change.last_trade_size_e2)}","volume_fp":"{contracts(change.volume_e2)}",'
            f'"open_interest_fp":"{contracts(change.open_interest_e2)}","dollar_volume":{change.dollar_volume},'
            f'"dollar_open_interest":{change.dollar_open_interest},"ts":{change.at_us // 1_000_000},'
            f'"ts_ms":{change.at_us // 1_000},"time":"{whole_seconds(change.at_us)}"}}}}'
        )
        return Message(TICKER, body.encode(), has_seq=False)

    def lifecycle(self, change: SimLifecycle, channel: str) -> Message | None:  # noqa: ARG002 - the older wire needs it
        subject = {"event_ticker" if change.message_type.startswith("event_") else "market_ticker": change.ticker}
        event_type = {"event_type": change.event_type} if change.event_type else {}
        body = b',"msg":' + msgspec.json.encode(change.payload | event_type | subject) + b"}"
        return Message(head_of(change.message_type), body)


def _finer_us(change: SimDelta) -> int:
    """Return the time in microseconds, which now and then lies before that of an earlier change: only `ts_ms` never
    goes back."""
    within_us = change.at_us % 1_000
    return change.at_us - within_us // 2 if (change.price_e6 // 100 + change.clock) % 64 == 0 else change.at_us


def _side(key: str, levels: Iterable[tuple[int, int]]) -> str:
    """Return the levels as a field, or nothing if there are none, as the exchange does."""
    pairs = ",".join([f'["{dollars_text(price)}","{contracts(size)}"]' for price, size in levels])
    return f',"{key}":[{pairs}]' if pairs else ""
