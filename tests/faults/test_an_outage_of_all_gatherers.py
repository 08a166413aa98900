"""What reached nobody is declared, market by market, and nothing else is."""

from collections import defaultdict
from functools import lru_cache

import pytest

from app.coverage.evidence import BOOKS, LIFECYCLE, TICKERS, TRADES, WHOLE_EXCHANGE
from app.coverage.intervals import intersection, union
from app.runtime.clock import now_us
from app.simulator.market.catalog import Catalog
from app.simulator.market.changes import SimDelta, SimTrade
from app.simulator.truth import TruthReader
from tests.faults.gathering import exchange, let_pass
from tests.faults.platform import Platform
from tests.processes import wait_until

JUDGED_SECONDS = 300
# A second is held back of what a run claims; another passes between two of its words.
MARGIN_US = 5_000_000
SOON_US = 3_000_000
HOLES = """
    SELECT channel, ticker, (extract(epoch FROM lower(hole)) * 1000000)::BIGINT,
        (extract(epoch FROM upper(hole)) * 1000000)::BIGINT
    FROM coverage, unnest(holes) AS hole
"""
OPEN_BEFORE = "SELECT ticker FROM markets WHERE open_time < to_timestamp({} / 1000000.0)"
REPAIRED = "SELECT count(*) FROM coverage WHERE channel = 'trade' AND state = 'repaired'"
KNOWN = """
    SELECT coalesce(max((extract(epoch FROM known_until) * 1000000)::BIGINT), 0) FROM coverage_hours
"""
STALE = "SELECT count(*) FROM coverage_hours JOIN coverage_changes USING (hour) WHERE changes <> judged_changes"
RECORDED = {
    SimDelta: "SELECT ticker, clock FROM orderbook_deltas",
    SimTrade: "SELECT ticker, trade_id::TEXT FROM trades",
}


@pytest.fixture
def platform(server, templates, tmp_path):
    with exchange(tmp_path, "--heartbeat", 2, "--hidden-seconds", 0, "--rate", 40) as simulator:
        yield Platform(server, templates, simulator, tmp_path)


def test_what_reached_nobody_is_declared_and_nothing_else_is(platform):
    with platform.deduplicator() as deduplicator:
        with platform.gatherers() as recorders:
            ready_us = now_us()
            let_pass(platform.simulator, 4)
            away_us = now_us()
            recorders["one"].kill()
            recorders["two"].stop()
            recorders["three"].stop()
        let_pass(platform.simulator, 5)
        with platform.gatherers() as recorders:
            back_us = now_us()
            # While the exchange goes on: what is known is in its time, and when that stands still nothing more is known.
            wait_until(lambda: platform.value(REPAIRED), JUDGED_SECONDS, "trades of REST")
            until_us = platform.simulator.state()["now_us"]
            wait_until(lambda: platform.value(KNOWN) >= until_us, JUDGED_SECONDS, "knowledge of all of it")
            platform.simulator.stop_the_clock()
            for recorder in recorders.values():
                recorder.stop()
        platform.wait_until_merged()
        wait_until(lambda: not platform.value(STALE), JUDGED_SECONDS, "judgement")
        deduplicator.stop()
    report = platform.judge()
    holes = declared(platform, ready_us, until_us)
    missing = absent(platform, SimDelta, ready_us, until_us)
    assert missing  # there was something to declare
    assert [change for ticker, change in missing if not is_within(change.at_us, holes.get((BOOKS, ticker), ()))] == []
    assert absent(platform, SimTrade, ready_us, until_us) == []
    assert TRADES not in {channel for channel, _ in holes}
    assert (TICKERS, WHOLE_EXCHANGE) in holes
    # Who was back may meet a market that was not there before at its next look at REST: that is declared, however long it
    # takes, and no part of this outage.
    before = {ticker for (ticker,) in platform.rows(OPEN_BEFORE.format(away_us))} | {WHOLE_EXCHANGE}
    # A hole begins with the last message: hardly anything is announced of a handful of markets.
    begins_us = {LIFECYCLE: ready_us}
    assert {
        subject: intervals
        for subject, intervals in declared(platform, ready_us, back_us + SOON_US).items()
        if subject[1] in before
        and not all(
            begins_us.get(subject[0], away_us) - MARGIN_US <= start and end <= back_us + MARGIN_US
            for start, end in intervals
        )
    } == {}
    assert [table.duplicated + table.unexpected + table.altered for table in report.tables] == [0] * len(report.tables)


def declared(platform, since_us, until_us):
    """From and to, by channel and market."""
    found = defaultdict(list)
    for channel, ticker, start_us, end_us in platform.rows(HOLES):
        found[channel, ticker].append((start_us, end_us))
    period = [(since_us, until_us)]
    clipped = {subject: intersection(union(intervals), period) for subject, intervals in found.items()}
    return {subject: intervals for subject, intervals in clipped.items() if intervals}


def absent(platform, kind, since_us, until_us):
    """The changes of a kind in a time that are not in production, with their markets."""
    reader = TruthReader(platform.simulator.truth)
    header = reader.header
    catalog = Catalog(header.seed, header.markets, header.start_us, whole_cents=header.whole_cents)
    ticker = lru_cache(maxsize=None)(catalog.ticker)
    recorded = set(platform.rows(RECORDED[kind]))
    changes = [each for each in reader.changes() if isinstance(each, kind) and since_us <= each.at_us < until_us]
    assert changes
    return [(ticker(each.market), each) for each in changes if (ticker(each.market), each[2]) not in recorded]


def is_within(moment_us, intervals):
    return any(start_us <= moment_us < end_us for start_us, end_us in intervals)
