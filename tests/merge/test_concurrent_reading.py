"""Reading on while gatherers write, make chunks and drop some: what is passed over once would be lost for ever."""

import random
import threading

from app.merge.position import BEGINNING
from app.merge.source import GathererTable, ingest_id_of, split_rows
from app.postgres.connection import connected
from app.storage.tables import ORDERBOOK_DELTAS, PRODUCTION_ORDERBOOK_DELTAS
from app.storage.writer import CopyWriter
from tests.merge.recordings import ALL
from tests.storage import rows

HOUR_US = 3_600_000_000
BATCHES = 60
BATCH_ROWS = 20


def write(dsn, ticker):
    """Rows all over time, so that batches keep making chunks."""
    chance = random.Random(ticker)
    writer = CopyWriter(ORDERBOOK_DELTAS, dsn)
    for clock in range(BATCHES):
        batch = [
            rows.delta(ticker=ticker, clock=clock, nth=part, at_us=rows.NOON_US + chance.randrange(200) * HOUR_US)
            for part in range(BATCH_ROWS)
        ]
        writer.write(batch)
    writer.close()


def test_no_row_of_concurrent_writers_is_passed_over(timeseries):
    writers = [threading.Thread(target=write, args=(timeseries, ticker)) for ticker in "ABC"]
    for thread in writers:
        thread.start()
    source = GathererTable("a", timeseries, PRODUCTION_ORDERBOOK_DELTAS, ALL, batch_bytes=1)
    seen, position, is_last = [], BEGINNING, False
    while not is_last:
        is_last = not any(thread.is_alive() for thread in writers)
        while not (pull := source.pull(position)).is_empty:
            assert not pull.starts_anew
            seen += map(ingest_id_of, split_rows(pull.content)) if pull.rows else ()
            position = pull.through
    source.close()
    with connected(timeseries) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT ingest_id FROM orderbook_deltas ORDER BY ingest_id")
        assert seen == [ingest_id for (ingest_id,) in cursor.fetchall()]
    assert len(seen) == 3 * BATCHES * BATCH_ROWS
