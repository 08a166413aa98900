from collections.abc import Iterable, Iterator
from itertools import islice

import gevent
from msgspec import Raw

BATCH = 50


def unhurried(objects: Iterable[Raw], size: int = BATCH) -> Iterator[list[Raw]]:
    """In small batches, after each of which other greenlets have their turn."""
    remaining = iter(objects)
    while batch := list(islice(remaining, size)):
        yield batch
        gevent.sleep(0)
