"""What the endpoints answer from, and how they word it."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import NamedTuple

from flask import Response

from app.simulator.catalog import Catalog
from app.simulator.clock import Clock
from app.simulator.exchange import Exchange
from app.simulator.phases import DAY_US, Phase
from app.simulator.rest.market_body import market_json

# Of a million markets a series has tens of thousands of events: its volume is that of the latest ones.
SUMMED_EVENTS = 100


class Site(NamedTuple):
    catalog: Catalog
    exchange: Exchange
    clock: Clock
    hidden_us: int  # how long a new market is not found by its ticker
    live_window_us: int  # what settled before is historical
    is_trading: Callable[[], bool]

    def market_count(self) -> int:
        """How many markets there are now."""
        return self.catalog.count(self.clock.now_us())

    def cutoff_us(self) -> int:
        """By the day, as the exchange moves it."""
        return (self.clock.now_us() - self.live_window_us) // DAY_US * DAY_US

    def is_historical(self, index: int, cutoff_us: int) -> bool:
        settled_us = self.catalog.plan.turn_us(index, Phase.SETTLED)
        return settled_us < cutoff_us

    def volume_of_series(self, series: int) -> int:
        events = self.catalog.events_of_series(series, self.catalog.event_count(self.clock.now_us()))
        shown = (self.catalog.event(number) for number in islice(events, SUMMED_EVENTS))
        markets = (event.first_market + position for event in shown for position in range(event.market_count))
        count = self.market_count()
        return sum(self.exchange.quote(index).volume_e2 for index in markets if index < count)

    def known_market(self, ticker: str) -> int | None:
        index = self.catalog.index_of(ticker)
        return index if index is not None and index < self.market_count() else None

    def market_json(self, index: int) -> bytes:
        now_us = self.clock.now_us()
        quote = self.exchange.quote(index)
        return market_json(self.catalog.market(index, now_us), self.catalog.status(index, now_us), quote)


def json_response(body: bytes, *, cached: bool = False) -> Response:
    response = Response(body, mimetype="application/json")
    if cached:
        # Markets and series come through a content delivery network, order books and trades do not.
        response.headers["cache-control"] = "public, max-age=15"
    return response


def json_list(items: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"
