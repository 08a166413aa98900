from collections.abc import Iterable
from typing import Protocol


class ActiveMarkets(Protocol):
    """Which markets trade, as the registry knows it."""

    def active_tickers(self) -> Iterable[str]: ...

    def is_active(self, ticker: str) -> bool: ...
