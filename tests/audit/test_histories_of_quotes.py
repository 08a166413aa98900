"""Random histories of a few markets, delivered late and in any order: no false finding, and no loss at the top unseen."""

import random
from datetime import timedelta

import pytest

from app.audit.quote_audit import FollowedBooks, audit_new_quotes
from app.coverage.intervals import moment_of
from app.postgres.connection import connected
from app.storage.tables import PRODUCTION_ORDERBOOK_DELTAS, PRODUCTION_ORDERBOOK_SNAPSHOTS, PRODUCTION_TICKERS
from app.storage.writer import CopyWriter
from tests.audit.test_audit import RUN
from tests.gatherers import execute
from tests.storage import rows

TICKERS = [f"KXTEST-{number}" for number in range(4)]
MILLISECOND_US = 1_000
SECOND_US = 1_000_000
PRICES = range(100_000, 500_000, 50_000)
STEPS = 100
PATIENCE = timedelta(minutes=10)
SEEDS = range(5)


class History:
    """What happens to one market: bursts in one millisecond, and quotes of any moment between two changes."""

    def __init__(self, draw, ticker):
        self.draw = draw
        self.ticker = ticker
        self.clock = 1
        self.at_us = rows.NOON_US + 123 * MILLISECOND_US
        self.sides = {True: {}, False: {}}
        self.snapshots, self.changes, self.quotes = [], [], []
        self.show()
        self.at_us += MILLISECOND_US
        for _ in range(STEPS):
            self.step()
        # Something is recorded after every quote.
        self.at_us += SECOND_US
        self.change()

    def step(self):
        if self.draw.random() < 0.5:
            self.at_us += self.draw.choice([1, 1, 7, 400, 2_000]) * MILLISECOND_US
        if self.draw.random() < 0.04:
            self.show()
        elif self.draw.random() < 0.3:
            self.quote()
        else:
            self.change()

    def show(self):
        levels = (sorted(self.sides[side].items()) for side in (True, False))
        # It is stamped when it was sent, in microseconds.
        at_us = self.at_us + self.draw.randint(0, 900)
        self.snapshots.append(rows.snapshot(at_us, self.ticker, self.clock, *levels, lineage=()))

    def change(self):
        self.clock += self.draw.randint(1, 3)
        side = self.draw.random() < 0.5
        price_e6 = self.draw.choice(PRICES)
        size_e2 = self.sides[side].get(price_e6, 0)
        delta_e2 = -size_e2 if size_e2 and self.draw.random() < 0.5 else 100 * self.draw.randint(1, 3)
        for _ in range(self.draw.choice([1, 1, 1, 2]) if delta_e2 > 0 else 1):
            row = rows.delta(self.at_us, self.ticker, self.clock, delta_e2, price_e6, yes_side=side, lineage=())
            nth = sum(same_but_nth(row, other) for other in self.changes)
            self.changes.append((*row[:5], nth, *row[6:]))
            self.sides[side][price_e6] = self.sides[side].get(price_e6, 0) + delta_e2
        self.sides[side] = {price: size for price, size in self.sides[side].items() if size}

    def quote(self):
        (bid_e6, bid_size_e2), (no_e6, no_size_e2) = (
            max(self.sides[side].items(), default=(0, 0)) for side in (True, False)
        )
        figures = (bid_size_e2, no_size_e2, None, None, None, None, None, None, bid_e6, 1_000_000 - no_e6)
        digest = self.draw.getrandbits(40)
        self.quotes.append((self.at_us, self.at_us + 30_000, digest, *figures, 0, False, self.ticker))


def same_but_nth(row, other):
    return row[:1] + row[2:5] + row[6:] == other[:1] + other[2:5] + other[6:]


class Production:
    """Rows come in parts, each in any order; what came before a time is known to be all."""

    def __init__(self, dsn):
        self.dsn = dsn
        self.books = FollowedBooks()
        self.verdicts = {}
        execute(
            dsn,
            "INSERT INTO gatherer_runs (gatherer, run_id, started_at, recorded_until, delivered_until) "
            "VALUES (%s, %s, %s, %s, %s)",
            (*RUN, *map(moment_of, (rows.NOON_US - SECOND_US, rows.NOON_US + 3_600 * SECOND_US, rows.NOON_US))),
        )
        execute(
            dsn,
            "INSERT INTO gatherer_contacts (gatherer, system_identifier, contacted_at) VALUES (%s, 1, %s)",
            (RUN[0], moment_of(rows.NOON_US + 3_600 * SECOND_US)),
        )
        for ticker in TICKERS:
            execute(
                dsn,
                "INSERT INTO gatherer_subscriptions (gatherer, run_id, started_at, conn, channel, ticker) "
                "VALUES (%s, %s, %s, 7, 'orderbook_delta', %s)",
                (*RUN, moment_of(rows.NOON_US - SECOND_US), ticker),
            )

    def write(self, table, written):
        writer = CopyWriter(table, self.dsn)
        writer.write(list(written))
        writer.close()

    def audit(self, known_us):
        execute(self.dsn, "UPDATE gatherer_runs SET delivered_until = %s", (moment_of(known_us),))
        with connected(self.dsn) as connection:
            now = moment_of(rows.NOON_US + 3_600 * SECOND_US)
            audited = audit_new_quotes(connection, self.books, now, PATIENCE)
        for verdict, count in audited.verdicts.items():
            self.verdicts[verdict.value] = self.verdicts.get(verdict.value, 0) + count


def deliver(draw, production, histories):
    """Part after part by the time of receipt. What is not known to be all yet may come early, in part."""
    tables = (PRODUCTION_ORDERBOOK_SNAPSHOTS, PRODUCTION_ORDERBOOK_DELTAS, PRODUCTION_TICKERS)
    kinds = ("snapshots", "changes", "quotes")
    waiting = {
        table: [row for history in histories for row in getattr(history, kind)]
        for table, kind in zip(tables, kinds, strict=True)
    }
    known_us = rows.NOON_US
    while any(waiting.values()):
        known_us += draw.choice([10, 500, 3_000]) * MILLISECOND_US
        for table in draw.sample(tables, 3):
            # The second column is when a row was received.
            chosen = [row for row in waiting[table] if row[1] < known_us or draw.random() < 0.1]
            draw.shuffle(chosen)
            if chosen:
                production.write(table, chosen)
            waiting[table] = [row for row in waiting[table] if row not in chosen]
        production.audit(known_us)
    production.audit(known_us + 600 * SECOND_US)


FINDINGS = "SELECT ticker, from_ts, quote_ts FROM audit_findings WHERE resolved_at IS NULL"


@pytest.mark.parametrize("seed", SEEDS)
def test_where_nothing_was_lost_nothing_is_found(production, seed):
    draw = random.Random(seed)
    histories = [History(draw, ticker) for ticker in TICKERS]
    platform = Production(production)
    deliver(draw, platform, histories)
    assert execute(production, FINDINGS) == []
    assert platform.verdicts.get("equal", 0) > 0.9 * sum(len(history.quotes) for history in histories), (
        platform.verdicts
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_lost_is_found_where_and_when_it_was(production, seed):
    draw = random.Random(100 + seed)
    histories = [History(draw, ticker) for ticker in TICKERS]
    lost = histories[0].changes.pop(draw.randrange(len(histories[0].changes) // 2))
    platform = Production(production)
    deliver(draw, platform, histories)
    found = execute(production, FINDINGS)
    lost_at = moment_of(lost[0])
    assert {ticker for ticker, *_ in found} <= {TICKERS[0]}
    assert all(since <= lost_at <= until for _, since, until in found), (found, lost_at)
