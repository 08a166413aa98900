from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import gevent

from app.simulator.rest.cursors import encode_cursor

# A sparse filter may look at a million markets: other greenlets get their turn in between.
LOOKED_AT_ONCE = 2_000


class Page(NamedTuple):
    numbers: list[int]
    cursor: str


def page_of(kind: str, numbers: Iterable[int], tests: list[Callable[[int], bool]], limit: int) -> Page:
    """The first `limit` numbers that pass; the cursor is empty when there is none after them."""
    found = list(islice(_passing(numbers, tests), limit + 1))
    more = len(found) > limit
    return Page(found[:limit], encode_cursor(kind, found[limit - 1]) if more else "")


def _passing(numbers: Iterable[int], tests: list[Callable[[int], bool]]) -> Iterator[int]:
    for looked_at, number in enumerate(numbers, start=1):
        if looked_at % LOOKED_AT_ONCE == 0:
            gevent.sleep(0)
        if not tests or all(test(number) for test in tests):
            yield number
