from typing import NamedTuple

STATUSES = ("initialized", "inactive", "active", "closed", "determined", "disputed", "amended", "finalized")


class Market(NamedTuple):
    """What is kept in memory of a market; its texts are in the database. Times are microseconds since 1970."""

    ticker: str
    event_ticker: str
    status: str
    market_type: str = "binary"
    result: str = ""
    exchange_index: int | None = None
    open_us: int | None = None
    close_us: int | None = None
    expiration_us: int | None = None
    updated_us: int | None = None
