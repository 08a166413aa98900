"""The platform in small, on embedded parts: records a made-up market, disturbs itself, and compares what is left."""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from app.book import apply_deltas
from app.databases import Kind
from app.postgres.connection import connected, value_of
from app.postgres.dsn import Dsn
from app.postgres.server import EmbeddedServer
from app.store.migrations import migrate, migrations_of
from app.store.tables import ORDERBOOK_DELTAS, ORDERBOOK_SNAPSHOTS, Row
from app.store.writer import CopyWriter, Written

BATCH_ROWS = 5_000
DELTA_STEP_US = 200


class Finding(NamedTuple):
    subject: str
    expected: object
    found: object

    @property
    def ok(self) -> bool:
        return self.expected == self.found

    @property
    def summary(self) -> str:
        return str(self.found) if self.ok else f"expected {self.expected}, found {self.found}"


class Market(NamedTuple):
    ticker: str
    snapshot: Row
    deltas: list[Row]

    @property
    def book(self) -> dict[tuple[bool, int], int]:
        yes, no = zip(*self.snapshot[6:8], strict=True), zip(*self.snapshot[8:10], strict=True)
        start = {(True, price): size for price, size in yes} | {(False, price): size for price, size in no}
        return apply_deltas(start, ((row[6], row[4], row[3]) for row in self.deltas))


def made_up_market(seed: int, deltas: int, started_us: int) -> Market:
    """A book that random orders come to and go from. Never takes away more than there is."""
    chance = random.Random(seed)  # noqa: S311 - a demo's orders need not be unforeseeable
    ticker = f"KXDEMO-{started_us // 1_000_000}"
    yes = {price * 10_000: 100_00 for price in range(1, 50)}
    no = {price * 10_000: 100_00 for price in range(1, 50)}
    snapshot = (started_us, started_us, 0, 0, ticker, "ws", [*yes], [*yes.values()], [*no], [*no.values()], 1, 1, 1)
    rows: list[Row] = []
    for number in range(1, deltas + 1):
        yes_side = chance.random() < 0.5
        side = yes if yes_side else no
        price_e6 = chance.randrange(1, 50) * 10_000
        delta_e2 = chance.randint(-min(side[price_e6], 5_000), 5_000) or 1
        side[price_e6] += delta_e2
        at_us = started_us + number * DELTA_STEP_US
        rows.append((at_us, at_us, number, delta_e2, price_e6, 0, yes_side, False, False, ticker, 1, 1, number + 1))
    return Market(ticker, snapshot, rows)


def run_demo(folder: Path, binaries: Path | None, seed: int, deltas: int) -> Iterator[Finding]:
    with EmbeddedServer(folder, binaries) as server:
        dsns = {kind: server.ensure_database(kind.database) for kind in Kind}
        for kind, dsn in dsns.items():
            with connected(dsn) as connection:
                migrate(connection, migrations_of(kind))
        market = made_up_market(seed, deltas, time.time_ns() // 1_000)
        written = _record(dsns[Kind.TIMESERIES], server, market)
        yield Finding("every change committed once", len(market.deltas), written.inserted)
        yield Finding("changes that came twice, recognised", len(market.deltas), written.conflicting)
        yield Finding("rows that fit no table, quarantined", 1, written.quarantined)
        yield from _look(dsns[Kind.TIMESERIES], market)


def _record(dsn: Dsn, server: EmbeddedServer, market: Market) -> Written:
    """Writes everything twice, as two connections would, with a database that is killed in between."""
    snapshots, deltas = CopyWriter(ORDERBOOK_SNAPSHOTS, dsn), CopyWriter(ORDERBOOK_DELTAS, dsn)
    snapshots.write([market.snapshot])
    snapshots.close()
    price_beyond_a_dollar = (*market.deltas[0][:4], 2_000_000, *market.deltas[0][5:])
    batches = [market.deltas[start : start + BATCH_ROWS] for start in range(0, len(market.deltas), BATCH_ROWS)]
    parts = [deltas.write(batch) for batch in batches]
    deltas.close()
    server.kill()
    server.start()
    parts += [deltas.write(batch) for batch in [[*batches[0], price_beyond_a_dollar], *batches[1:]]]
    deltas.close()
    return Written(*map(sum, zip(*parts, strict=True)))


def _look(dsn: Dsn, market: Market) -> Iterator[Finding]:
    at_us = market.deltas[-1][0]
    count = "SELECT count(*) FROM orderbook_deltas WHERE ticker = %s"
    with connected(dsn) as connection, connection.cursor() as cursor:
        yield Finding("changes in the database", len(market.deltas), value_of(connection, count, (market.ticker,)))
        cursor.execute(
            "SELECT side = 'yes', price_e6, size_e2 FROM order_book(%s, 'epoch'::TIMESTAMPTZ + %s * INTERVAL '1 us')",
            (market.ticker, at_us),
        )
        found = {(yes_side, price_e6): size_e2 for yes_side, price_e6, size_e2 in cursor.fetchall()}
        yield Finding("levels that the database rebuilds otherwise", 0, len(market.book.items() ^ found.items()))
