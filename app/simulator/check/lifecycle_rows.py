"""The comparison of lifecycle messages, which carry no time of their own: they are matched by subject and content."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import msgspec

from app.simulator.check.matcher import Key
from app.simulator.check.tables import RowSource
from app.simulator.market.catalog import Catalog
from app.simulator.market.changes import SimLifecycle
from app.simulator.market.lifecycle import SILENT
from app.simulator.websocket.cents_frames import OLD_LIFECYCLE, CentsFrames
from app.simulator.websocket.dollar_frames import LIFECYCLE

NAME = "lifecycle_events"
# Fields that repeat other columns.
REPEATED = ("market_ticker", "event_ticker", "event_type")

Say = Callable[[SimLifecycle], tuple[str, dict[str, Any]] | None]


def as_it_is(change: SimLifecycle) -> tuple[str, dict[str, Any]] | None:
    """Return the event type and message of today's wire; None if the exchange sends nothing."""
    return None if change.message_type == SILENT else (change.event_type or change.message_type, change.payload)


def in_cents(catalog: Catalog) -> Iterator[Say]:
    """Yield the wordings of the older wire's two channels; a recorder listens to one of them."""
    wire = CentsFrames(catalog)
    for channel in (LIFECYCLE, OLD_LIFECYCLE):
        yield partial(_said_in_cents, wire, channel)


def by_key(changes: Iterable[tuple[int, SimLifecycle]], say: Say) -> dict[Key, list[int]]:
    """Return the ordinals of the changes by their key, without changes that are not announced."""
    expected: dict[Key, list[int]] = defaultdict(list)
    for ordinal, change in changes:
        if said := say(change):
            expected[_key(change.ticker, *said)].append(ordinal)
    return expected


def found_keys(source: RowSource) -> dict[Key, list[int]]:
    """Return the recorded nths by key.

    A repetition counts as the next nth: the time that distinguishes it in the database is the connection's.
    """
    counts: Counter[Key] = Counter()
    found: dict[Key, list[int]] = defaultdict(list)
    for ticker, event_type, payload in source.lifecycle():
        key = _key(ticker, event_type, payload)
        found[key].append(counts[key])
        counts[key] += 1
    return found


def timeless(key: Key) -> Key:
    return (key[0], *key[2:])


def looks_alike(key: Key) -> Key:
    return (key[0], key[2])


def _said_in_cents(wire: CentsFrames, channel: str, change: SimLifecycle) -> tuple[str, dict[str, Any]] | None:
    message = wire.lifecycle(change, channel) if change.message_type != SILENT else None
    if message is None:
        return None
    payload = msgspec.json.decode(message.payload(0, 0, b""))["msg"]
    return payload.get("event_type", change.message_type), payload


def _key(ticker: str, event_type: str, payload: dict[str, Any]) -> Key:
    said = {name: value for name, value in payload.items() if name not in REPEATED}
    return (ticker, 0, event_type, json.dumps(said, sort_keys=True))
