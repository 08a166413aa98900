from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from msgspec import Raw

from app.kalshi.rest_client import ComboFilter, MarketFilter, RestClient
from app.registry.intake import Intake
from app.registry.market import Market
from app.registry.reading import ticker_of
from app.registry.unhurried import unhurried

# In the order of a market's life: one that goes on meanwhile is met twice rather than not at all.
UNSETTLED: tuple[MarketFilter, ...] = ("unopened", "open", "paused", "closed")


class Part(NamedTuple):
    """Of the walk through all markets. Settled ones are left out: there are millions."""

    combos: ComboFilter
    status: MarketFilter


class MarketReading:
    """Markets from REST into the registry. Combos, of which there are ten times as many and which hardly trade, come
    last."""

    def __init__(self, client: RestClient, intake: Intake, *, combos: bool) -> None:
        self._client = client
        self._intake = intake
        self._filters: tuple[ComboFilter, ...] = ("exclude", "only") if combos else ("exclude",)
        self.parts = tuple(Part(filter_, status) for filter_ in self._filters for status in UNSETTLED)

    def read_part(self, part: Part) -> int:
        """How many markets it has."""
        return sum(map(len, self._take(self._client.markets(part.status, part.combos))))

    def read_changed_since(self, since_seconds: int) -> int:
        """How many there are. The exchange does not tell which combos changed, but which ones it created."""
        changed = self._client.markets_updated_since(since_seconds)
        if "only" in self._filters:
            changed = chain(changed, self._client.markets_created_since(since_seconds, "only"))
        return sum(map(len, self._take(changed)))

    def read_settled_since(self, min_settled_ts: int) -> int:
        """How many there are, of those that the exchange has not moved to its archive."""
        return sum(
            self._intake.take_settled(batch)
            for filter_ in self._filters
            for batch in unhurried(self._client.markets_settled_since(min_settled_ts, filter_))
        )

    def read_named(self, tickers: list[str]) -> set[str]:
        """Return which of them REST shows, also where one of its answers cannot be read: that market is there."""
        shown = set[str]()
        for batch in unhurried(self._client.named_markets(tickers)):
            self._intake.take_markets(batch)
            shown |= set(map(ticker_of, batch))
        return shown

    def read_unknown(self, tickers: list[str]) -> set[str]:
        """The same of markets that nobody follows: what REST shows of them is stored, and they stay unknown."""
        shown = set[str]()
        for batch in unhurried(self._client.named_markets(tickers)):
            self._intake.take_settled(batch)
            shown |= set(map(ticker_of, batch))
        return shown

    def _take(self, objects: Iterable[Raw]) -> Iterator[list[Market]]:
        return map(self._intake.take_markets, unhurried(objects))
