from collections import OrderedDict
from typing import NamedTuple

from app.simulator.live_market import Figures

KEPT = 50_000


class Ended(NamedTuple):
    clock: int
    figures: Figures


class EndedMarkets:
    """What remains of settled markets that had activity. The oldest are forgotten in the end, as on the exchange."""

    def __init__(self, kept: int = KEPT) -> None:
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
