from collections.abc import Iterator
from math import isqrt

from app.simulator.catalog import Catalog
from app.simulator.draws import draw

MOST_AWAKE = 20_000
TABLE_BITS = 16
ORDER = 31
# One action in so many goes to any awake market, hot or not.
TAIL_ONE_IN = 8


class Activity:
    """Which markets are awake, and which of them the next action falls on: few take most, the tail takes a little.

    Markets have places, the first ones the hottest. One that ends leaves its place to one that opens.
    """

    def __init__(self, catalog: Catalog, most_awake: int = MOST_AWAKE) -> None:
        self._most_awake = most_awake
        self._places: list[int | None] = []
        self._place_of: dict[int, int] = {}
        self._free: list[int] = []
        for index in sorted(_open_sample(catalog, most_awake), key=lambda index: draw(catalog.seed, ORDER, index)):
            self.wake(index)
        self._table = _attention(most_awake)

    def __len__(self) -> int:
        return len(self._place_of)

    def wake(self, index: int) -> None:
        """The market takes the hottest place that is free; with none left it stays quiet."""
        if index in self._place_of:
            return
        if self._free:
            place = min(self._free)
            self._free.remove(place)
            self._places[place] = index
        elif len(self._places) < self._most_awake:
            place = len(self._places)
            self._places.append(index)
        else:
            return
        self._place_of[index] = place

    def rest(self, index: int) -> bool:
        """True if the market was awake."""
        place = self._place_of.pop(index, None)
        if place is None:
            return False
        self._places[place] = None
        self._free.append(place)
        return True

    def next(self, bits: int) -> int | None:
        """The market of the next action; None where the draw meets a free place."""
        if not self._places:
            return None
        place = bits >> 3 if bits % TAIL_ONE_IN == 0 else self._table[bits >> 3 & (1 << TABLE_BITS) - 1]
        return self._places[place % len(self._places)]


def _attention(places: int) -> list[int]:
    """A table to draw places from, each as often as it deserves: the weight of rank r is 1 / r^1.25."""
    weights = [10**12 // (rank * isqrt(isqrt(rank * 10**8))) for rank in range(1, min(places, 4_000) + 1)]
    total, table = sum(weights), list[int]()
    for place, weight in enumerate(weights):
        table += [place] * (weight * (1 << TABLE_BITS) // total)
    return table + [0] * ((1 << TABLE_BITS) - len(table))


def _open_sample(catalog: Catalog, most: int) -> Iterator[int]:
    """Open markets, from all over the catalog if there are more than enough; some places stay free for new ones."""
    count = len(catalog)
    step = max(1, count * 10 // (most * 9))
    for first in range(0, count, step):
        index = min(first + draw(catalog.seed, ORDER, first) % step, count - 1)
        if catalog.status(index, catalog.start_us) == "active":
            yield index
    # A market that is paused at the start wakes up when it is resumed, one that is not open yet when it opens.
