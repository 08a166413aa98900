"""Candlesticks of one market, made of its trades alone: the side that a taker took is the quote of that moment."""

from collections.abc import Iterable
from typing import NamedTuple

from app.simulator.changes import Trade
from app.simulator.phases import MINUTE_US, SECOND_US


class Distribution(NamedTuple):
    open_e6: int
    low_e6: int
    high_e6: int
    close_e6: int

    def with_price(self, price_e6: int) -> "Distribution":
        return Distribution(self.open_e6, min(self.low_e6, price_e6), max(self.high_e6, price_e6), price_e6)

    @classmethod
    def of(cls, price_e6: int) -> "Distribution":
        return cls(price_e6, price_e6, price_e6, price_e6)


class Candle(NamedTuple):
    end_period_ts: int
    yes_bid: Distribution
    yes_ask: Distribution
    price: Distribution
    mean_e6: int
    previous_e6: int | None  # the close before this candle
    volume_e2: int
    trades: int


def candles(trades: Iterable[Trade], period_minutes: int) -> list[Candle]:
    """One for every period in which something traded; trades in order of time."""
    made: list[Candle] = []
    dollars_e8 = 0
    period_us = period_minutes * MINUTE_US
    for trade in trades:
        end_ts = (trade.at_us // period_us + 1) * period_us // SECOND_US
        bid_e6, ask_e6 = _quote(made[-1] if made else None, trade)
        if not made or made[-1].end_period_ts != end_ts:
            previous_e6 = made[-1].price.close_e6 if made else None
            dollars_e8 = 0
            bid, ask, price = (Distribution.of(price_e6) for price_e6 in (bid_e6, ask_e6, trade.yes_price_e6))
            made.append(Candle(end_ts, bid, ask, price, 0, previous_e6, 0, 0))
        dollars_e8 += trade.yes_price_e6 * trade.size_e2
        made[-1] = _with(made[-1], trade, bid_e6, ask_e6, dollars_e8)
    return made


def _quote(last: Candle | None, trade: Trade) -> tuple[int, int]:
    """Whoever takes YES pays the ask; whoever takes NO sells at the bid. The other side stays as it was, uncrossed."""
    price_e6 = trade.yes_price_e6
    if trade.taker_yes:
        return min(last.yes_bid.close_e6 if last else price_e6, price_e6), price_e6
    return price_e6, max(last.yes_ask.close_e6 if last else price_e6, price_e6)


def _with(candle: Candle, trade: Trade, bid_e6: int, ask_e6: int, dollars_e8: int) -> Candle:
    volume_e2 = candle.volume_e2 + trade.size_e2
    return candle._replace(
        yes_bid=candle.yes_bid.with_price(bid_e6),
        yes_ask=candle.yes_ask.with_price(ask_e6),
        price=candle.price.with_price(trade.yes_price_e6),
        mean_e6=dollars_e8 // volume_e2,
        volume_e2=volume_e2,
        trades=candle.trades + 1,
    )
