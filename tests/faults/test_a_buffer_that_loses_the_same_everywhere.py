"""What the exchange loses of one socket of each gatherer, others of them have: no two of them share their markets out alike."""

from itertools import pairwise

import pytest

from app.simulator.check.matcher import Delivered
from app.simulator.market.changes import SimDelta
from app.simulator.truth import TruthReader
from tests.faults.gathering import let_pass
from tests.faults.platform import NAMES

SOCKETS = 18


def book_sockets(simulator, key_id):
    """Of a gatherer, in the order in which they were opened, with the markets of each."""
    found = {}
    for each in sorted(simulator.state()["connections"], key=lambda each: each["ordinal"]):
        followed = set(simulator.control(f"/connections/{each['ordinal']}/markets").body)
        if each["key_id"] == key_id and followed:
            found[each["ordinal"]] = followed
    return found


def changes_between(simulator, started_us, ended_us, markets):
    reader = TruthReader(simulator.truth)
    for ordinal, change in enumerate(reader.changes()):
        if isinstance(change, SimDelta) and started_us <= change.at_us <= ended_us and change.market in markets:
            yield ordinal


@pytest.mark.long
def test_sockets_of_the_same_number_lose_everything_and_production_lacks_nothing(platform):
    simulator = platform.simulator
    sockets = {"KALSHI_WS_CONNECTIONS": SOCKETS}
    with (
        platform.gatherer("one", **sockets) as one,
        platform.gatherer("two", **sockets) as two,
        platform.gatherer("three", **sockets) as three,
        platform.deduplicator() as deduplicator,
    ):
        recorders = dict(zip(NAMES, (one, two, three), strict=True))
        for recorder in recorders.values():
            recorder.wait_until_ready()
        opened = [book_sockets(simulator, platform.key_of(name)) for name in NAMES]
        followed = set.intersection(*(set.union(*sockets.values()) for sockets in opened))
        number = most_alike(opened)
        struck = [list(sockets)[number] for sockets in opened]
        # Where each shares its markets out like the others, all three have lost the same.
        assert not set.intersection(*(list(sockets.values())[number] for sockets in opened))
        started_us = simulator.state()["now_us"]
        fault_id = simulator.inflict("lose", connections=struck, types=["orderbook_delta"], count=0)["fault_id"]
        let_pass(simulator, 6)
        ended_us = simulator.state()["told_until_us"]
        simulator.lift(fault_id)
        platform.finish(recorders, deduplicator)
    platform.assert_exact()
    delivered = Delivered(TruthReader(simulator.truth))
    happened = list(changes_between(simulator, started_us, ended_us, followed))
    assert len(happened) > 100
    assert not [ordinal for ordinal in happened if ordinal not in delivered]
    all_of_it = platform.value("SELECT count(*) FROM orderbook_deltas")
    assert all(platform.databases[name].value("SELECT count(*) FROM orderbook_deltas") < all_of_it for name in NAMES)


def most_alike(opened):
    """The number at which two gatherers share most, and all three nothing."""
    columns = list(zip(*(sockets.values() for sockets in opened), strict=True))
    candidates = [number for number, column in enumerate(columns) if not set.intersection(*column)]
    assert len(candidates) > len(columns) / 2
    return max(candidates, key=lambda number: sum(len(one & other) for one, other in pairwise(columns[number])))
