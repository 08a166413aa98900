from collections.abc import Iterable, Iterator


class MarketSet:
    """Market numbers as bits: a subscription to a million markets takes 125 KB, not the 60 MB of a set of strings."""

    def __init__(self, markets: Iterable[int] = ()) -> None:
        self._bits = bytearray()
        self._count = 0
        for market in markets:
            self.add(market)

    def add(self, market: int) -> bool:
        """True when it was not in it before."""
        place, bit = market >> 3, 1 << (market & 7)
        if place >= len(self._bits):
            self._bits.extend(bytes(place + 1 - len(self._bits)))
        if self._bits[place] & bit:
            return False
        self._bits[place] |= bit
        self._count += 1
        return True

    def discard(self, market: int) -> bool:
        """True when it was in it."""
        if market not in self:
            return False
        self._bits[market >> 3] &= ~(1 << (market & 7))
        self._count -= 1
        return True

    def __contains__(self, market: int) -> bool:
        place = market >> 3
        return place < len(self._bits) and bool(self._bits[place] & (1 << (market & 7)))

    def __iter__(self) -> Iterator[int]:
        for place, byte in enumerate(self._bits):
            if byte:
                yield from (place * 8 + bit for bit in range(8) if byte & (1 << bit))

    def __len__(self) -> int:
        return self._count
