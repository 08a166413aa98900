"""The traders: random actions on books, drawn from one generator, including the awkward cases of real markets.

In: a live market and a moment. Out: deltas, trades and tickers, appended to `changes`.
The awkward cases are equal changes under one clock, quotes that return within a millisecond, and block trades.
"""

import random
from bisect import bisect_left
from collections.abc import Callable

from app.simulator.market.changes import Change, SimDelta, SimTrade
from app.simulator.market.history import RecentTrades
from app.simulator.market.live_market import Side, SimLiveMarket
from app.simulator.market.prices import CENT_E6, DOLLAR_E6
from app.simulator.market.profiles import Profile

MOST_LEVELS = 30
MOST_RESTING_E2 = 10_000_000
SIZES = 1_024

Action = Callable[["RandomTraders", SimLiveMarket, int, int], None]


class RandomTraders:
    """All traders as one: acts on one market at a time and appends the resulting changes.

    All changes of one action share the market's clock. Bids never cross: a taker takes what rests, and the remainder of
    the order is dropped. Every choice is drawn from one generator, so that the order of the calls determines
    everything.
    """

    def __init__(self, seed: int, trades: RecentTrades, profile: Profile, *, whole_contracts: bool) -> None:
        self._bits = random.Random(seed).getrandbits  # noqa: S311 - believable, not secret
        self._trades = trades
        self._profile = profile
        self._repertoire = (RandomTraders.burst,) * profile.bursts_in_64 + REPERTOIRE[profile.bursts_in_64 :]
        self._whole_contracts = whole_contracts
        self._sizes_e2 = [self._draw_size() for _ in range(SIZES)]
        self.changes: list[Change] = []

    def act(self, market: SimLiveMarket, at_us: int) -> None:
        """Perform a random action on the market; add a ticker if the best bids changed."""
        bits = self._bits(64)
        self._repertoire[bits & 63](self, market, at_us, bits >> 6)
        if market.best() != market.top:
            self.changes.append(market.ticker(at_us))

    def cancel_all(self, market: SimLiveMarket, at_us: int) -> None:
        """Cancel every resting order, as the exchange does when it resumes a market."""
        if not market.yes.prices and not market.no.prices:
            return
        self._tick(market, 0)
        for side in (market.yes, market.no):
            for price_e6, size_e2 in side.levels():
                self._change(market, at_us, side, price_e6, -size_e2)
        self.changes.append(market.ticker(at_us))

    def place(self, market: SimLiveMarket, at_us: int, bits: int) -> None:
        """Place an order, or remove a level where the book is already deep."""
        side = self._side_with_room(market, bits)
        self._tick(market, bits >> 1)
        if len(side.prices) > MOST_LEVELS:
            self._change(market, at_us, side, side.prices[0], -side.sizes[side.prices[0]])
            return
        price_e6 = self._price(market, side, bits >> 4)
        size_e2 = self._sizes_e2[bits >> 16 & SIZES - 1]
        if side.sizes.get(price_e6, 0) > MOST_RESTING_E2:
            size_e2 = -side.sizes[price_e6]
        self._change(market, at_us, side, price_e6, size_e2)

    def place_twins(self, market: SimLiveMarket, at_us: int, bits: int) -> None:
        """Place two equal orders in one batch: their changes are equal in every field."""
        side = self._side_with_room(market, bits)
        self._tick(market, bits >> 1)
        price_e6, size_e2 = self._price(market, side, bits >> 4), self._sizes_e2[bits >> 16 & SIZES - 1]
        self._change(market, at_us, side, price_e6, size_e2)
        self._change(market, at_us, side, price_e6, size_e2)

    def cancel(self, market: SimLiveMarket, at_us: int, bits: int) -> None:
        if not (resting := self._resting_order(market, at_us, bits)):
            return
        side, price_e6, size_e2 = resting
        part_e2 = size_e2 // 2 // 100 * 100
        self._change(market, at_us, side, price_e6, -part_e2 if part_e2 and bits & 8 else -size_e2)

    def move(self, market: SimLiveMarket, at_us: int, bits: int) -> None:
        """Move a resting order to another price: two changes under one clock."""
        if not (resting := self._resting_order(market, at_us, bits)):
            return
        side, price_e6, size_e2 = resting
        self._change(market, at_us, side, price_e6, -size_e2)
        self._change(market, at_us, side, self._price(market, side, bits >> 8), size_e2)

    def _resting_order(self, market: SimLiveMarket, at_us: int, bits: int) -> tuple[Side, int, int] | None:
        """Return the side, price and size of an order near the top.

        If hardly any rests, place one instead and return None.
        """
        side = market.yes if bits & 1 else market.no
        if len(side.prices) < 3:
            self.place(market, at_us, bits >> 1)
            return None
        self._tick(market, bits >> 1)
        price_e6 = _near_the_top(side, bits >> 4)
        return side, price_e6, side.sizes[price_e6]

    def take(self, market: SimLiveMarket, at_us: int, bits: int) -> None:
        """Take the resting orders at the best prices: each fill is a change and a trade."""
        taker_yes = bool(bits & 1)
        maker = market.no if taker_yes else market.yes
        if len(maker.prices) < 4:
            self.place(market, at_us, bits >> 1)
            return
        self._tick(market, bits >> 1)
        wanted_e2 = self._sizes_e2[bits >> 16 & SIZES - 1]
        for _ in range(2):
            price_e6 = maker.prices[-1]
            fill_e2 = min(wanted_e2, maker.sizes[price_e6])
            # Two makers of equal size make two equal changes under one clock.
            makers = 2 if bits & 4 and fill_e2 % 200 == 0 else 1
            for _ in range(makers):
                self._change(market, at_us, maker, price_e6, -fill_e2 // makers)
                yes_price_e6 = DOLLAR_E6 - price_e6 if taker_yes else price_e6
                self._trade(market, at_us, yes_price_e6, fill_e2 // makers, taker_yes=taker_yes)
            wanted_e2 -= fill_e2
            if not wanted_e2:
                break
        self.changes.append(market.ticker(at_us))

    def flicker(self, market: SimLiveMarket, at_us: int, bits: int) -> None:
        """Place, cancel and place again an order at the best price: tickers A, B, A within a millisecond."""
        side = market.yes if bits & 1 else market.no
        if not side.prices:
            self.place(market, at_us, bits >> 1)
            return
        price_e6, size_e2 = side.prices[-1], self._sizes_e2[bits >> 16 & SIZES - 1]
        for delta_e2 in (size_e2, -size_e2, size_e2):
            self._tick(market, bits >> 1)
            self._change(market, at_us, side, price_e6, delta_e2)
            self.changes.append(market.ticker(at_us))

    def burst(self, market: SimLiveMarket, at_us: int, bits: int) -> None:
        """Place and cancel many orders at once, in groups of equal ones: all of them within one millisecond.

        Half of the bursts have fewer than eight changes, half of the others fewer than sixteen, and so on.
        """
        profile, doubled = self._profile, self._bits(8)
        left = min(profile.longest_burst, (4 + (bits & 3)) << (doubled ^ doubled + 1).bit_length() - 1)
        placed: set[tuple[bool, int, int]] = set()
        while left > 0:
            draw = self._bits(32)
            side = self._side_with_room(market, draw)
            price_e6, size_e2 = self._price(market, side, draw >> 2), self._sizes_e2[draw >> 10 & SIZES - 1]
            equal = min(1 + (draw >> 20) % profile.most_identical, max(1, left // 2))
            if (order := (side is market.yes, price_e6, size_e2)) in placed:
                continue  # more would be equal than the profile has
            placed.add(order)
            self._tick(market, draw >> 8)
            is_cancelled = bool(draw & 0x300) or len(side.prices) > MOST_LEVELS
            for delta_e2 in (size_e2, -size_e2) if is_cancelled and left > 1 else (size_e2,):
                for _ in range(equal):
                    self._change(market, at_us, side, price_e6, delta_e2)
                left -= equal

    def agree(self, market: SimLiveMarket, at_us: int, bits: int) -> None:
        """Make a block trade, which is agreed outside the book."""
        price_e6 = market.yes.prices[-1] if market.yes.prices else market.ticks[len(market.ticks) // 2]
        size_e2 = 100 * self._sizes_e2[bits >> 16 & SIZES - 1]
        self._trade(market, at_us, price_e6, size_e2, taker_yes=bool(bits & 1), is_block_trade=True)
        self.changes.append(market.ticker(at_us))

    def _change(self, market: SimLiveMarket, at_us: int, side: Side, price_e6: int, delta_e2: int) -> None:
        side.change(price_e6, delta_e2)
        self.changes.append(SimDelta(at_us, market.index, market.clock, side is market.yes, price_e6, delta_e2))

    def _trade(
        self,
        market: SimLiveMarket,
        at_us: int,
        yes_price_e6: int,
        size_e2: int,
        *,
        taker_yes: bool,
        is_block_trade: bool = False,
    ) -> None:
        identity = f"{self._bits(128):032x}"
        trade_id = f"{identity[:8]}-{identity[8:12]}-4{identity[13:16]}-a{identity[17:20]}-{identity[20:]}"
        market.last_price_e6, market.last_size_e2 = yes_price_e6, size_e2
        market.volume_e2 += size_e2
        market.dollars_e8 += size_e2 * yes_price_e6
        opens = self._bits(1) or market.open_interest_e2 < size_e2
        market.open_interest_e2 += size_e2 if opens else -size_e2
        trade = SimTrade(at_us, market.index, trade_id, yes_price_e6, size_e2, taker_yes, is_block_trade)
        self._trades.add(trade)
        self.changes.append(trade)

    def _tick(self, market: SimLiveMarket, bits: int) -> None:
        # The exchange's clock also counts events that do not become public.
        market.clock += 1 + (bits & 3)

    def _side_with_room(self, market: SimLiveMarket, bits: int) -> Side:
        """Return a side to bid on, preferably the shorter one.

        A bid of a dollar less the smallest step would leave the other side no price at all; then the other side is
        returned.
        """
        yes, no = market.yes, market.no
        side, other = (
            (yes, no) if len(yes.prices) * 2 + (bits & 1) < len(no.prices) * 2 + (bits >> 1 & 1) else (no, yes)
        )
        return other if other.prices and DOLLAR_E6 - other.prices[-1] <= market.ticks[0] else side

    def _price(self, market: SimLiveMarket, side: Side, bits: int) -> int:
        """Return a price around the side's best, but never so high that it meets the other side's best."""
        ticks, other = market.ticks, market.no if side is market.yes else market.yes
        highest = len(ticks) - 1
        if other.prices:
            highest = bisect_left(ticks, DOLLAR_E6 - other.prices[-1]) - 1
        if side.prices:
            best = bisect_left(ticks, side.prices[-1])
            # The wider the spread, the further into it a better bid goes.
            better = 1 + (bits >> 5 & 63) % max(1, (highest - best) // 2)
            wanted = best + (0, 0, better, better, -1, -2, -3 - (bits >> 3 & 3), -1)[bits & 7]
        else:
            wanted = highest // 2 if not other.prices else highest - (bits & 3)
        price_e6 = ticks[max(0, min(wanted, highest))]
        # Below a bid that does not cross, none does.
        below_e6 = price_e6 // CENT_E6 * CENT_E6
        return below_e6 if below_e6 and (bits >> 11 & 7) < self._profile.whole_cents_in_8 else price_e6

    def _draw_size(self) -> int:
        """Return a size: mostly a few whole contracts, sometimes many, sometimes fractions."""
        bits = self._bits(48)
        contracts = 1 + (bits & 0xFFFF) % (10, 50, 100, 1_000)[bits >> 16 & 3]
        if self._whole_contracts or bits >> 18 & 3 or (bits >> 26 & 7) < self._profile.whole_sizes_in_8:
            return contracts * 100
        return contracts * 100 - (bits >> 20 & 0x3F)


def _near_the_top(side: Side, bits: int) -> int:
    return side.prices[-1 - bits % min(len(side.prices), 6)]


_SHARES: tuple[tuple[Action, int], ...] = (
    (RandomTraders.place, 24),
    (RandomTraders.cancel, 16),
    (RandomTraders.move, 8),
    (RandomTraders.place_twins, 3),
    (RandomTraders.take, 9),
    (RandomTraders.flicker, 3),
    (RandomTraders.agree, 1),
)
REPERTOIRE: tuple[Action, ...] = tuple(action for action, share in _SHARES for _ in range(share))
