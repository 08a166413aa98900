import random
import threading

from app.storage.arrivals import arrivals, arrivals_session
from app.storage.tables import ORDERBOOK_DELTAS
from app.storage.writer import CopyWriter
from tests.storage import rows

HOUR_US = 3_600_000_000
BATCHES = 60
BATCH_ROWS = 20


def batches_of(ticker):
    """Rows all over time, so that batches keep making chunks."""
    chance = random.Random(ticker)
    return [
        [
            rows.delta(
                ticker=ticker, clock=batch * BATCH_ROWS + part, at_us=rows.NOON_US + chance.randrange(200) * HOUR_US
            )
            for part in range(BATCH_ROWS)
        ]
        for batch in range(BATCHES)
    ]


def write(timeseries, batches):
    writer = CopyWriter(ORDERBOOK_DELTAS, timeseries)
    for batch in batches:
        assert writer.write(batch).inserted == len(batch)
    writer.close()


def test_reading_on_from_the_last_id_misses_nothing_of_concurrent_writers(timeseries):
    batches = {ticker: batches_of(ticker) for ticker in "ABC"}
    writers = [threading.Thread(target=write, args=(timeseries, own)) for own in batches.values()]
    for thread in writers:
        thread.start()
    seen, last_id, is_last = set(), 0, False
    with arrivals_session(timeseries, "test") as session:
        while not is_last:
            is_last = not any(thread.is_alive() for thread in writers)
            with arrivals(session, "orderbook_deltas") as cursor:
                cursor.execute("SELECT ingest_id, ticker, clock FROM orderbook_deltas WHERE ingest_id > %s", (last_id,))
                for ingest_id, ticker, clock in cursor.fetchall():
                    seen.add((ticker, clock))
                    last_id = max(last_id, ingest_id)
    for thread in writers:
        thread.join()
    assert seen == {(row[9], row[2]) for own in batches.values() for batch in own for row in batch}
