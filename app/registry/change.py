from typing import Literal, NamedTuple

from app.registry.market import Market

EventType = Literal["created", "status_change", "closing", "settled"]


class MarketChange(NamedTuple):
    """A market came, took another status, is about to close, went, or is from now on to be recorded or not (with its
    status as it was)."""

    ticker: str
    event_type: EventType
    old_status: str | None  # None: it was not known
    new_status: str | None  # None: the exchange does not know it any more
    market: Market | None  # None of one that settled
    is_to_be_recorded: bool

    @property
    def is_closing(self) -> bool:
        return self.event_type == "closing"


def change_between(
    old_status: str | None, after: Market, *, was_recorded: bool, is_recorded: bool
) -> MarketChange | None:
    """None if nobody else needs to know: also where a market is met for the first time when it is already over."""
    if old_status is None:
        return None if after.status == "finalized" else introduction(after, is_recorded=is_recorded)
    if old_status == after.status and was_recorded == is_recorded:
        return None
    if after.status == "finalized":
        return MarketChange(after.ticker, "settled", old_status, after.status, None, is_recorded)
    return MarketChange(after.ticker, "status_change", old_status, after.status, after, is_recorded)


def introduction(market: Market, *, is_recorded: bool) -> MarketChange:
    """Return what tells somebody of a market for the first time."""
    return MarketChange(market.ticker, "created", None, market.status, market, is_recorded)


def departure(before: Market) -> MarketChange:
    return MarketChange(before.ticker, "settled", before.status, None, None, is_to_be_recorded=False)


def closing(market: Market) -> MarketChange:
    return MarketChange(market.ticker, "closing", market.status, market.status, market, is_to_be_recorded=True)
