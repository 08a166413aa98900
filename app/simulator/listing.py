"""What the catalog lists: markets in events in series. Times in microseconds since 1970; 0 for what never comes."""

from typing import NamedTuple

from app.simulator.prices import PriceRange


class Leg(NamedTuple):
    event_ticker: str
    market_ticker: str
    side: str


class Market(NamedTuple):
    number: int  # in the catalog
    position: int  # in its event
    event: int  # the event's number in the catalog
    ticker: str
    market_id: str
    event_ticker: str
    series_ticker: str
    title: str
    yes_sub_title: str
    no_sub_title: str
    is_combo: bool
    exchange_index: int
    created_us: int
    updated_us: int  # of the last turn other than by trading
    open_us: int
    close_us: int
    determined_us: int
    settled_us: int
    result: str  # yes, no; empty before it is known
    floor_strike: int
    price_level_structure: str
    price_ranges: tuple[PriceRange, ...]
    legs: tuple[Leg, ...]
    collection_ticker: str  # of combos


class Event(NamedTuple):
    number: int  # in the catalog
    ticker: str
    series: int
    series_ticker: str
    title: str
    sub_title: str
    category: str
    is_combo: bool
    mutually_exclusive: bool
    collateral_return_type: str
    exchange_index: int
    created_us: int
    updated_us: int
    fee_type_override: str | None
    fee_multiplier_override: int | None
    first_market: int
    market_count: int
    collection_ticker: str


class Series(NamedTuple):
    number: int  # in the catalog
    ticker: str
    title: str
    category: str
    frequency: str
    tags: tuple[str, ...]
    is_combo: bool
    exchange_index: int
    fee_type: str
    fee_multiplier: int
