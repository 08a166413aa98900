"""What the exchange loses on every socket of all gatherers, without a gap in numbers: a quote shows it, and nothing else."""

import contextlib

import pytest

from app.simulator.check.matcher import Delivered
from app.simulator.market.catalog import Catalog
from app.simulator.market.changes import SimDelta
from app.simulator.truth import TruthReader
from tests.faults.gathering import let_pass
from tests.faults.platform import NAMES
from tests.processes import wait_until

FOUND_SECONDS = 120
# Books are asked for again when the test is over.
RARELY = {"KALSHI_SNAPSHOT_REFRESH_SECONDS": 21_600}
FOUND = """
    SELECT f.ticker, f.found_at - t.received_at AS found_after
    FROM audit_findings AS f
    JOIN tickers AS t ON t.ticker = f.ticker AND t.exchange_ts = f.quote_ts
    WHERE f.resolved_at IS NULL AND NOT f.is_explained AND f.quote_ts IS NOT NULL
"""
PROVEN = "SELECT count(*) FROM book_proofs WHERE proven_until IS NOT NULL"
DISPROVED = """
    SELECT count(*) FROM audit_findings AS f
    WHERE f.quote_ts IS NOT NULL AND NOT f.is_explained AND f.resolved_at IS NULL
        AND (SELECT state FROM knowledge_of_book(f.ticker, f.from_ts)) = 'complete'
"""


@pytest.mark.long
def test_a_loss_on_every_socket_at_once_is_found_by_quotes(platform):
    simulator = platform.simulator
    with contextlib.ExitStack() as stack:
        deduplicator = stack.enter_context(platform.deduplicator())
        recorders = {name: stack.enter_context(platform.gatherer(name, **RARELY)) for name in NAMES}
        wait_until(lambda: platform.value(PROVEN) > 20, FOUND_SECONDS, "books proven by quotes")
        assert platform.rows(FOUND) == []
        started_us = simulator.state()["now_us"]
        fault_id = simulator.inflict("lose", types=["orderbook_delta"], count=0)["fault_id"]
        let_pass(simulator, 0.5)
        simulator.lift(fault_id)
        wait_until(lambda: platform.rows(FOUND), FOUND_SECONDS, "a finding")
        let_pass(simulator, 5)
        found = platform.rows(FOUND)
        assert platform.value(DISPROVED) == 0
        platform.finish(recorders, deduplicator)
    assert simulator.stop() == 0
    assert {row[0] for row in found} <= lost_since(simulator, started_us)


def lost_since(simulator, since_us):
    """The markets with a change that no gatherer was sent."""
    reader = TruthReader(simulator.truth)
    header, delivered = reader.header, Delivered(reader)
    catalog = Catalog(header.seed, header.markets, header.start_us, whole_cents=header.whole_cents)
    return {
        catalog.ticker(change.market)
        for ordinal, change in enumerate(reader.changes())
        if isinstance(change, SimDelta) and change.at_us >= since_us and ordinal not in delivered
    }
