"""The last day's coverage as a table of colours: a row for each channel, a column for each hour."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

HOUR = timedelta(hours=1)
CHANNELS = {
    "orderbook_delta": "Order books",
    "trade": "Trades",
    "ticker": "Tickers",
    "market_lifecycle_v2": "Lifecycle",
}
CHANNEL_NAMES = {**CHANNELS, "multivariate_market_lifecycle": "Lifecycle of combos"}


class Cell(NamedTuple):
    hour: datetime
    state: str  # complete, repaired, hole, pending, unrecorded
    affected: int  # of markets with a hole or a repair; 1 where the whole exchange is concerned

    @property
    def text(self) -> str:
        told = {
            "hole": f"{self.affected} with a hole",
            "repaired": f"{self.affected} repaired",
            "unrecorded": "before the record began",
        }
        return f"{self.hour:%d %b %H:%M}: {told.get(self.state, self.state)}"


def heat_map(hours: Sequence[tuple[Any, ...]], exceptions: Sequence[tuple[Any, ...]]) -> dict[str, list[Cell]]:
    """By channel. A hole counts for more than a repair, and both for more than what is not known yet. `hours` come with
    up to when each is known; None: nothing is known of it. Without any that is known, there is nothing to show."""
    first = min((hour for hour, known_until in hours if known_until), default=None)
    found = {(hour, channel, state): count for hour, channel, state, count in exceptions}

    def cell(channel: str, hour: datetime, known_until: datetime | None) -> Cell:
        for state in ("hole", "repaired"):
            if count := found.get((hour, channel, state)):
                return Cell(hour, state, count)
        if first is not None and hour < first:
            return Cell(hour, "unrecorded", 0)
        return Cell(hour, "complete" if known_until == hour + HOUR else "pending", 0)

    return {channel: [cell(channel, *hour) for hour in hours] for channel in CHANNELS} if first else {}
