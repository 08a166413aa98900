"""Lifecycle messages carry no time of their own, so they are matched as a whole: by what they are about and say."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from app.postgres.connection import Connection
from app.simulator.changes import Lifecycle
from app.simulator.check.matcher import Key
from app.simulator.check.rows import streamed
from app.simulator.lifecycle import SILENT

NAME = "lifecycle_events"
QUERY = "SELECT ticker, event_type, payload FROM lifecycle_events ORDER BY exchange_ts"
# What the other columns say already.
REPEATED = ("market_ticker", "event_ticker", "event_type")


def expected_key(change: Lifecycle) -> Key | None:
    if change.message_type == SILENT:
        return None
    return _key(change.ticker, change.event_type or change.message_type, change.payload)


def found_keys(connection: Connection) -> dict[Key, list[int]]:
    """A repetition counts as the next nth: the time that tells it apart in the database is the connection's."""
    counts: Counter[Key] = Counter()
    found: dict[Key, list[int]] = defaultdict(list)
    for ticker, event_type, payload in streamed(connection, QUERY, NAME):
        key = _key(ticker, event_type, payload)
        found[key].append(counts[key])
        counts[key] += 1
    return found


def timeless(key: Key) -> Key:
    return (key[0], *key[2:])


def looks_alike(key: Key) -> Key:
    return (key[0], key[2])


def _key(ticker: str, event_type: str, payload: dict[str, Any]) -> Key:
    said = {name: value for name, value in payload.items() if name not in REPEATED}
    return (ticker, 0, event_type, json.dumps(said, sort_keys=True))


def by_key(changes: Iterable[tuple[int, Lifecycle]]) -> dict[Key, list[int]]:
    expected: dict[Key, list[int]] = defaultdict(list)
    for ordinal, change in changes:
        if key := expected_key(change):
            expected[key].append(ordinal)
    return expected
