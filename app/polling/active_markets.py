from collections.abc import Iterable
from typing import Protocol


class ActiveMarkets(Protocol):
    """Which markets trade, as the registry knows it."""

    def active_tickers(self) -> Iterable[str]:
        """What comes and goes while they are walked over may be met or not; what stays is met once."""

    def is_active(self, ticker: str) -> bool: ...
