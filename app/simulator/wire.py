from typing import Protocol

from app.simulator.changes import Book, Delta, Lifecycle, Ticker, Trade
from app.simulator.frames import Message
from app.simulator.market_names import MarketName


class Wire(Protocol):
    """One era of the exchange's WebSocket: which channels it has and how it words things."""

    @property
    def channels(self) -> frozenset[str]: ...

    @property
    def refuses_repetition(self) -> bool:
        """Whether a second subscription to a channel is an error."""

    def stamp(self, now_ms: int) -> bytes: ...

    def market_list(self, key: str, names: list[str]) -> dict[str, object]: ...

    def subscription_list(self, listed: list[dict[str, object]]) -> dict[str, object]: ...

    def delta(self, name: MarketName, change: Delta, *, yes_price: bool, timed: bool) -> Message: ...

    def snapshot(self, name: MarketName, book: Book, *, yes_price: bool) -> Message: ...

    def trade(self, name: MarketName, change: Trade) -> Message: ...

    def ticker(self, name: MarketName, change: Ticker) -> Message: ...

    def lifecycle_channels(self, change: Lifecycle) -> tuple[str, ...]: ...

    def lifecycle(self, change: Lifecycle, channel: str) -> Message | None:
        """None: this era says nothing about it."""
