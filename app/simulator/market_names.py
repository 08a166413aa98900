from functools import lru_cache
from typing import NamedTuple

from app.simulator.catalog import Catalog

KEPT = 65_536


class MarketName(NamedTuple):
    """What every message about a market begins with."""

    ticker: str
    market_id: str


class MarketNames:
    """Computed by the catalog, kept for the markets that are spoken of."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.of = lru_cache(maxsize=KEPT)(self._compute)

    def _compute(self, market: int) -> MarketName:
        return MarketName(self._catalog.ticker(market), self._catalog.market_id(market))
