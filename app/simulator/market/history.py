"""What the exchange remembers: recent trades, the candles made of them, and the final state of settled markets.

Each memory is bounded; the oldest entries are forgotten first.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from app.simulator.market.changes import SimTrade
from app.simulator.market.kinds import MINUTE_US, SECOND_US
from app.simulator.market.live_market import Figures

KEPT_TRADES = 200_000


class RecentTrades:
    """The latest trades of the whole exchange, up to a fixed number; older ones are forgotten.

    Trades are numbered in their order, so that a number is a place to continue from.
    """

    def __init__(self, kept: int = KEPT_TRADES) -> None:
        self._kept = kept
        self._ring: list[SimTrade] = []
        self.count = 0

    def add(self, trade: SimTrade) -> None:
        if len(self._ring) < self._kept:
            self._ring.append(trade)
        else:
            self._ring[self.count % self._kept] = trade
        self.count += 1

    @property
    def oldest(self) -> int:
        return max(0, self.count - self._kept)

    def __getitem__(self, number: int) -> SimTrade:
        if not self.oldest <= number < self.count:
            raise IndexError(number)
        return self._ring[number % self._kept]

    def newest_first(
        self, market: int | None = None, min_us: int = 0, max_us: int | None = None, before: int | None = None
    ) -> Iterator[tuple[int, SimTrade]]:
        """Yield trades with their numbers, of min_us <= time < max_us, below the number `before`."""
        number = self.count if before is None else min(before, self.count)
        if max_us is not None:
            number = min(number, self._first_at(max_us))
        while number > self.oldest:
            number -= 1
            trade = self[number]
            if trade.at_us < min_us:
                return
            if market is None or trade.market == market:
                yield number, trade

    def _first_at(self, at_us: int) -> int:
        return bisect_left(range(self.count), at_us, lo=self.oldest, key=lambda number: self[number].at_us)


# Candlesticks of one market, made of its trades alone: a trade's price is the quote of the side that the taker hit.


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


class SimCandle(NamedTuple):
    end_period_ts: int
    yes_bid: Distribution
    yes_ask: Distribution
    price: Distribution
    mean_e6: int
    previous_e6: int | None  # the close before this candle
    volume_e2: int
    trades: int


def candles(trades: Iterable[SimTrade], period_minutes: int) -> list[SimCandle]:
    """Return a candle for every period with trades; the trades must be in order of time."""
    made: list[SimCandle] = []
    dollars_e8 = 0
    period_us = period_minutes * MINUTE_US
    for trade in trades:
        end_ts = (trade.at_us // period_us + 1) * period_us // SECOND_US
        bid_e6, ask_e6 = _quote(made[-1] if made else None, trade)
        if not made or made[-1].end_period_ts != end_ts:
            previous_e6 = made[-1].price.close_e6 if made else None
            dollars_e8 = 0
            bid, ask, price = (Distribution.of(price_e6) for price_e6 in (bid_e6, ask_e6, trade.yes_price_e6))
            made.append(SimCandle(end_ts, bid, ask, price, 0, previous_e6, 0, 0))
        dollars_e8 += trade.yes_price_e6 * trade.size_e2
        made[-1] = _with(made[-1], trade, bid_e6, ask_e6, dollars_e8)
    return made


def _quote(last: SimCandle | None, trade: SimTrade) -> tuple[int, int]:
    """Return bid and ask after a trade.

    A taker of YES pays the ask; a taker of NO sells at the bid. The other side stays as it was, uncrossed.
    """
    price_e6 = trade.yes_price_e6
    if trade.taker_yes:
        return min(last.yes_bid.close_e6 if last else price_e6, price_e6), price_e6
    return price_e6, max(last.yes_ask.close_e6 if last else price_e6, price_e6)


def _with(candle: SimCandle, trade: SimTrade, bid_e6: int, ask_e6: int, dollars_e8: int) -> SimCandle:
    volume_e2 = candle.volume_e2 + trade.size_e2
    return candle._replace(
        yes_bid=candle.yes_bid.with_price(bid_e6),
        yes_ask=candle.yes_ask.with_price(ask_e6),
        price=candle.price.with_price(trade.yes_price_e6),
        mean_e6=dollars_e8 // volume_e2,
        volume_e2=volume_e2,
        trades=candle.trades + 1,
    )


KEPT_MARKETS = 50_000


class Ended(NamedTuple):
    """The final state of a settled market."""

    clock: int
    figures: Figures


class EndedMarkets:
    """The final states of settled markets that had activity. The oldest are forgotten, as on the exchange."""

    def __init__(self, kept: int = KEPT_MARKETS) -> None:
        self._kept = kept
        self._markets: OrderedDict[int, Ended] = OrderedDict()

    def add(self, index: int, clock: int, figures: Figures) -> None:
        self._markets[index] = Ended(clock, figures)
        if len(self._markets) > self._kept:
            self._markets.popitem(last=False)

    def get(self, index: int) -> Ended | None:
        return self._markets.get(index)

    def restart_clocks(self) -> None:
        for index, ended in self._markets.items():
            self._markets[index] = ended._replace(clock=min(ended.clock, 1))
