from typing import Protocol


class MarketChange(Protocol):
    """Something happened to a market."""

    @property
    def ticker(self) -> str: ...

    @property
    def is_to_be_recorded(self) -> bool:
        """Whether its order book is to be listened to from now on."""

    @property
    def is_closing(self) -> bool:
        """Whether it is about to close: its book is asked for once more."""


class MarketChanges(Protocol):
    """gevent's queue of them."""

    def get(self, block: bool = True, timeout: float | None = None) -> MarketChange: ...
