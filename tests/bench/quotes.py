"""The audit by quotes over a recorded time: rows audited per second and processor."""

import random
import time
from datetime import timedelta

from app.audit.quote_audit import FollowedBooks, audit_new_quotes
from app.audit.quotes import QuoteVerdict
from app.coverage.intervals import moment_of
from app.postgres.connection import connected, value_of
from app.postgres.databases import DatabaseKind
from app.storage.tables import PRODUCTION_ORDERBOOK_DELTAS, PRODUCTION_ORDERBOOK_SNAPSHOTS, PRODUCTION_TICKERS
from app.storage.writer import CopyWriter
from tests.bench.dedup import template
from tests.servers import temporary_server
from tests.storage import rows

MARKETS = 1_000
SECONDS = 200
CHANGES_PER_S = 2_000
LEVELS = 40
BATCH_ROWS = 5_000
PATIENCE = timedelta(minutes=10)


def run(report):
    with temporary_server() as server:
        production = template(server, DatabaseKind.PRODUCTION)
        changes, quotes = fill(production)
        books = FollowedBooks()
        started, own = time.perf_counter(), time.process_time()
        compared = audit(production, books)
        seconds, own_seconds = time.perf_counter() - started, time.process_time() - own
        conditions = {"markets": MARKETS, "changes": changes, "quotes": quotes, "levels": LEVELS}
        report("quotes_agreeing", compared / quotes, "share", bar=0.9, **conditions)
        report("rows_audited_per_s", (changes + quotes) / seconds, "rows/s", **conditions)
        report("rows_audited_per_s_of_own_cpu", (changes + quotes) / own_seconds, "rows/s", bar=60_000, **conditions)
        report("quotes_audited_per_s", quotes / seconds, "quotes/s", **conditions)
        report("quotes_of_real_time", SECONDS / seconds, "ratio", **conditions)


def audit(production, books):
    compared = 0
    now = moment_of(rows.NOON_US + (SECONDS + 60) * 1_000_000) + PATIENCE
    has_more = True
    while has_more:
        with connected(production, "bench") as connection:
            audited = audit_new_quotes(connection, books, now, PATIENCE)
        assert not audited.findings, audited.findings[:3]
        compared += audited.verdicts.get(QuoteVerdict.EQUAL, 0)
        has_more = audited.has_more
    with connected(production) as connection:
        assert value_of(connection, "SELECT count(*) FROM audit_findings") == 0
    return compared


def fill(production):
    """Write a snapshot of each market, random changes of their best levels, and a quote of each once a second."""
    draw = random.Random(20)
    sides = [
        [dict.fromkeys(range(10000, 10000 + LEVELS * 10000, 10000), 500) for _ in range(2)] for _ in range(MARKETS)
    ]
    snapshots = [
        rows.snapshot(rows.NOON_US, name(market), 0, *(list(each.items()) for each in sides[market]), lineage=())
        for market in range(MARKETS)
    ]
    write(production, PRODUCTION_ORDERBOOK_SNAPSHOTS, snapshots)
    changes, quotes, clock = [], [], 0
    for second in range(1, SECONDS + 1):
        start_us = rows.NOON_US + second * 1_000_000
        for number in range(CHANGES_PER_S):
            # A few markets take most of the changes, as on the exchange.
            market = int(MARKETS * draw.random() ** 3)
            yes_side, price = draw.random() < 0.5, 10_000 * draw.randint(LEVELS - 8, LEVELS)
            side = sides[market][0 if yes_side else 1]
            delta_e2 = 100 * draw.randint(1, 9) if draw.random() < 0.5 or price not in side else -side[price]
            side[price] = side.get(price, 0) + delta_e2
            if not side[price]:
                del side[price]
            clock += 1
            at_us = start_us + number * 400 // 1_000 * 1_000
            changes.append(rows.delta(at_us, name(market), clock, delta_e2, price, yes_side=yes_side, lineage=()))
        quotes += [quote(start_us + 900_000, market, sides[market]) for market in range(MARKETS) if draw.random() < 0.5]
    write(production, PRODUCTION_ORDERBOOK_DELTAS, changes)
    write(production, PRODUCTION_TICKERS, quotes)
    return len(changes), len(quotes)


def name(market):
    return f"KXBENCH-{market}"


def quote(at_us, market, sides):
    (bid_e6, bid_size_e2), (no_e6, no_size_e2) = (max(side.items(), default=(0, 0)) for side in sides)
    figures = (bid_size_e2, no_size_e2, None, None, None, None, None, None, bid_e6, 1_000_000 - no_e6)
    return (at_us, at_us + 30_000, 1, *figures, 0, False, name(market))


def write(production, table, written):
    writer = CopyWriter(table, production)
    for start in range(0, len(written), BATCH_ROWS):
        writer.write(written[start : start + BATCH_ROWS])
    writer.close()
