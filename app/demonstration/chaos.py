"""What is done to a running platform, and when."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from app.demonstration.exchange import SimulatedExchange
from app.demonstration.platform import Platform
from app.demonstration.servers import GATHERERS

AWAY_SECONDS = 2.0
# Tickers carry no number: who misses one cannot know, and when nobody else hears anything, nobody does.
NUMBERED = ["orderbook_delta", "trade", "market_lifecycle_v2"]


class Deed(NamedTuple):
    at_seconds: float
    what: str
    do: Callable[[], None]
    repairs: bool = False  # what the one before broke: done even when the run is cut short


def chaos(platform: Platform, exchange: SimulatedExchange, seconds: float) -> Iterator[Deed]:
    """Another gatherer has another trouble at its own time, so that two are well; in the end nobody hears anything
    for a moment, which must be said."""
    killed, _, without_database = (platform.recorders[name] for name in GATHERERS)
    keys = [exchange.key_id(1)]

    def drop_frames() -> None:
        exchange.inflict("drop", keys=keys, channels=NUMBERED, count=20, skip=3)

    def close_connections() -> None:
        exchange.inflict("close", keys=keys)

    first, second, third, fourth, last = (seconds * part for part in (0.1, 0.25, 0.45, 0.6, 0.85))
    yield Deed(first, f"{GATHERERS[1]} misses frames", drop_frames)
    yield Deed(second, f"{GATHERERS[0]} is killed", killed.process.kill)
    yield Deed(second + AWAY_SECONDS, f"{GATHERERS[0]} starts again", killed.process.start, repairs=True)
    yield Deed(third, f"{GATHERERS[1]} loses its connections", close_connections)
    yield Deed(fourth, f"the database of {GATHERERS[2]} is killed", without_database.server.kill)
    revive = without_database.server.start_again
    yield Deed(fourth + AWAY_SECONDS, f"the database of {GATHERERS[2]} starts again", revive, repairs=True)
    yield Deed(last, "everybody loses all connections", lambda: exchange.inflict("reset"))
