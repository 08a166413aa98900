"""The writer into orderbook_deltas, beside the same kind of rows as prebuilt bytes in a plain COPY into the same table.

Both write in turns, batch by batch, into one table that grows with both, so that noise and growth meet them alike.
"""

import io
import itertools
import random
import time

from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.runtime.threads import threads
from app.storage.binary_copy import copy_bytes
from app.storage.migrations import migrate, migrations_of
from app.storage.tables import ORDERBOOK_DELTAS
from app.storage.writer import READ_SIZE, CopyWriter
from tests.servers import temporary_server

BATCH_ROWS = 5_000
ROUNDS = 100
WARM_UP_ROUNDS = 10
MARKETS = 2_000
START_US = 1_700_000_000_000_000
COPY = f"COPY orderbook_deltas ({', '.join(ORDERBOOK_DELTAS.column_names)}) FROM STDIN (FORMAT binary)"


def rows_forever(seed):
    """Deltas as they come: 26-character tickers, hot and quiet ones, five per millisecond."""
    chance = random.Random(seed)
    tickers = [f"KXBENCH-26NOV21-T{number:09}" for number in range(MARKETS)]
    for number in itertools.count():
        exchange_us = START_US + number // 5 * 1_000
        delta_e2 = chance.choice((-1, 1)) * chance.randrange(1, 50_000)
        ticker = tickers[min(int(chance.paretovariate(0.7)), MARKETS) - 1]
        record = (exchange_us, exchange_us + 20_000, number, delta_e2, chance.randrange(1, 100) * 10_000)
        yield (*record, 0, chance.random() < 0.5, False, False, ticker, 7, 2, number)


def run(report):
    with temporary_server() as server:
        dsn = server.ensure_database(DatabaseKind.TIMESERIES.database)
        with connected(dsn) as connection:
            migrate(connection, migrations_of(DatabaseKind.TIMESERIES))
            seconds = measure(dsn, connection)
    rate = {way: BATCH_ROWS * ROUNDS / sum(spent) for way, spent in seconds.items()}
    conditions = {"batch_rows": BATCH_ROWS, "rows": BATCH_ROWS * ROUNDS}
    report("plain_copy_rows_per_s", rate["plain"], "rows/s", **conditions)
    report("writer_rows_per_s", rate["new"], "rows/s", bar=60_000, **conditions)
    report("writer_to_plain_copy", rate["new"] / rate["plain"], "ratio", bar=0.5, **conditions)
    report("writer_rows_per_s_half_known", rate["half known"], "rows/s", bar=60_000, **conditions)
    report("writer_to_plain_copy_half_known", rate["half known"] / rate["plain"], "ratio", bar=0.5, **conditions)
    report("writer_rows_per_s_staged", rate["staged"], "rows/s", bar=60_000, **conditions)
    report("writer_to_plain_copy_staged", rate["staged"] / rate["plain"], "ratio", bar=0.5, **conditions)


def measure(dsn, connection):
    """Seconds per round of the plain COPY, and of the writer: with new rows, with rows of which every second is known,
    and with new rows on the way round that it takes after a conflict."""
    rows = rows_forever(seed=1)
    new = CopyWriter(ORDERBOOK_DELTAS, dsn, threads(1))
    half_known = CopyWriter(ORDERBOOK_DELTAS, dsn, threads(1))
    staged = CopyWriter(ORDERBOOK_DELTAS, dsn, threads(1))
    staged._staged_batches = WARM_UP_ROUNDS + ROUNDS
    seconds = {"plain": [], "new": [], "half known": [], "staged": []}
    for _ in range(WARM_UP_ROUNDS + ROUNDS):
        content = copy_bytes(ORDERBOOK_DELTAS, list(itertools.islice(rows, BATCH_ROWS)))
        batch = list(itertools.islice(rows, BATCH_ROWS))
        more = list(itertools.islice(rows, BATCH_ROWS))
        mixed = batch[::2] + list(itertools.islice(rows, BATCH_ROWS // 2))
        seconds["new"].append(seconds_of(lambda: expect(new, batch, inserted=BATCH_ROWS)))
        seconds["half known"].append(seconds_of(lambda: expect(half_known, mixed, inserted=BATCH_ROWS // 2)))
        seconds["staged"].append(seconds_of(lambda: expect(staged, more, inserted=BATCH_ROWS)))
        seconds["plain"].append(seconds_of(lambda: plain_copy(connection, content)))
    new.close()
    half_known.close()
    staged.close()
    return {way: spent[WARM_UP_ROUNDS:] for way, spent in seconds.items()}


def expect(writer, batch, inserted):
    written = writer.write(batch)
    assert written == (inserted, len(batch) - inserted, 0), written


def plain_copy(connection, content):
    with connection.cursor() as cursor:
        cursor.copy_expert(COPY, io.BytesIO(content), READ_SIZE)
    connection.commit()


def seconds_of(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
