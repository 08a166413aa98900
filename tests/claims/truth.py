"""What happened at the exchange, and what of it nobody can know to be lost."""

from collections import defaultdict
from typing import NamedTuple

TABLES = {
    "trade": ("trades", "trade_id"),
    "orderbook_delta": ("orderbook_deltas", "clock"),
    "ticker": ("tickers", "dollar_volume"),
}


class Event(NamedTuple):
    number: int  # unlike any other's; each channel's messages carry it in a way of their own
    channel: str
    ticker: str
    happened_us: int


class Truth:
    """An event that was left out of a socket's frames is found to be missing by the next number of that subscription.
    Until that was sent nobody can know, and if the socket ends first, nobody ever does; of tickers, which carry no
    numbers, neither. A claim that is false of such an event alone is no one's fault, whoever else missed it too.
    """

    def __init__(self):
        self.events = defaultdict(list)  # by channel
        self._unnoticed = set()

    def happened(self, event):
        self.events[event.channel].append(event)

    def was_left_out(self, event):
        self._unnoticed.add(event.number)

    def shows(self, numbers):
        """A later number was sent."""
        self._unnoticed -= set(numbers)

    def can_be_known(self, event):
        return event.number not in self._unnoticed
