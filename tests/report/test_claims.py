"""The report never says more than coverage does: random recordings, and what is learnt after they were judged."""

import random
from datetime import timedelta

import pytest

from app.coverage.evidence import BOOKS, EXCHANGE_CHANNELS
from app.postgres.connection import connected
from app.report.days import report_of
from app.status.readings import asked_over
from kalshi_data.layout import day_of
from tests.coverage.conftest import coverage as coverage  # noqa: PLC0414 - a fixture
from tests.gatherers import NOON, at, execute, put_market

DAY = day_of(NOON)
MARKETS = 6
# What coverage calls recorded of each market: up to where it is known, and outside of holes.
CLAIMED_OF_BOOKS = """
    SELECT coalesce(sum(extract(epoch FROM upper(part) - lower(part))), 0)::FLOAT
    FROM coverage_of_markets AS c CROSS JOIN unnest(
        tstzmultirange(c.period) * tstzmultirange(tstzrange(c.hour, c.known_until)) - c.holes
    ) AS part
    WHERE c.channel = 'orderbook_delta' AND c.hour >= %(from)s AND c.hour < %(from)s + INTERVAL '1 day'
"""
CLAIMED_OF_CHANNEL = """
    SELECT coalesce(sum(extract(epoch FROM upper(part) - lower(part))), 0)::FLOAT
    FROM coverage_known AS h LEFT JOIN coverage AS c ON c.hour = h.hour AND c.channel = %(channel)s AND c.ticker = ''
    CROSS JOIN unnest(tstzmultirange(tstzrange(h.hour, h.known_until)) - coalesce(c.holes, '{}')) AS part
    WHERE h.hour >= %(from)s AND h.hour < %(from)s + INTERVAL '1 day'
"""


def record(coverage, chance):
    for number in range(MARKETS):
        opens = chance.choice([None, -30, chance.uniform(0, 100)])
        closes = chance.choice([None, 300, chance.uniform(110, 170)])
        put_market(coverage.production, f"KX-{number}", opens, closes)
    for gatherer in coverage.gatherers:
        begins = chance.choice([0, chance.uniform(0, 20)])
        gatherer.runs(begins, 180).listens_to_all(since=begins)
        for number in range(MARKETS):
            until = chance.choice([None, None, chance.uniform(60, 180)])
            gatherer.listens(BOOKS, f"KX-{number}", chance.uniform(begins, 60), until, conn=7 + number % 2)
        for _ in range(6):
            since, conn = chance.uniform(0, 180), chance.choice([1, 3, 5, 7, 8])
            gatherer.misses(since, since + chance.uniform(0, 30), conn)


def learn(dsn, chance):
    """Let something become known that is not judged yet."""
    kind = chance.choice(["nothing", "market", "loss", "finding", "gap"])
    since = at(chance.uniform(0, 150))
    if kind == "market":
        put_market(dsn, f"KX-{chance.randrange(MARKETS)}", chance.uniform(0, 60), chance.uniform(100, 180), updated=1)
    elif kind == "loss":
        execute(
            dsn,
            "INSERT INTO gatherer_losses (gatherer, table_name, started_at, ended_at) VALUES ('a', 'trades', %s, %s)",
            (since, since + timedelta(minutes=5)),
        )
    elif kind == "finding":
        execute(
            dsn,
            "INSERT INTO audit_findings (ticker, from_ts, to_ts, from_clock, to_clock, is_explained, differing_levels, levels) "
            "VALUES (%s, %s, %s, 1, 2, FALSE, 1, '[]')",
            (f"KX-{chance.randrange(MARKETS)}", since, since + timedelta(minutes=3)),
        )
    elif kind == "gap":
        execute(
            dsn,
            "INSERT INTO gatherer_gaps (gatherer, run_id, number, conn, started_at, ended_at, sid, markets, channel, cause) "
            "VALUES ('b', 1, 99, 7, %s, %s, -1, 1, 'orderbook_delta', 'disconnected')",
            (since, since + timedelta(minutes=9)),
        )


@pytest.mark.parametrize("seed", range(6))
def test_what_the_report_calls_recorded_is_what_coverage_claims(coverage, seed):
    chance = random.Random(seed)
    record(coverage, chance)
    coverage.judge(chance.choice([90, 181]))
    learn(coverage.production, chance)
    with connected(coverage.production) as connection:
        total = report_of(asked_over(connection), DAY, DAY + timedelta(days=1)).total
    ((claimed,),) = execute(coverage.production, CLAIMED_OF_BOOKS, {"from": DAY})
    assert total.channel(BOOKS).recorded_seconds == pytest.approx(claimed, abs=0.001)
    assert total.channel(BOOKS).proven_seconds <= claimed + 0.001
    for channel in EXCHANGE_CHANNELS:
        ((claimed,),) = execute(coverage.production, CLAIMED_OF_CHANNEL, {"from": DAY, "channel": channel})
        assert total.channel(channel).recorded_seconds == pytest.approx(claimed, abs=0.001)
