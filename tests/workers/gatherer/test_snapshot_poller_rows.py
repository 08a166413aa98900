import threading

from app.polling.book_cycles import BookClass
from app.storage.tables import ORDERBOOK_SNAPSHOTS
from app.storage.writer import CopyWriter
from tests.clock import Clock
from tests.polling.exchanges import clients_of, simulated
from tests.polling.kept import Markets
from tests.processes import wait_until
from workers.gatherer.snapshot_poller import SnapshotPoller

UNSUPPORTED = """
SELECT count(*) FROM orderbook_snapshots confirmed WHERE yes_prices_e6 IS NULL AND NOT EXISTS (
    SELECT FROM orderbook_snapshots full_row
    WHERE full_row.ticker = confirmed.ticker AND full_row.levels_digest = confirmed.levels_digest
    AND full_row.snapshot_ts < confirmed.snapshot_ts AND full_row.yes_prices_e6 IS NOT NULL
)
"""
COUNTS = "SELECT count(*), count(yes_prices_e6), count(DISTINCT ticker) FROM orderbook_snapshots WHERE source = 'rest'"


class Written:
    def __init__(self, dsn):
        self._writer = CopyWriter(ORDERBOOK_SNAPSHOTS, dsn)

    def put(self, table, rows):
        assert table is ORDERBOOK_SNAPSHOTS
        assert self._writer.write(rows).inserted == len(rows)

    def close(self):
        self._writer.close()


def test_every_confirmation_has_its_book_in_the_database(tmp_path, monkeypatch, timeseries, connection):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    sink = Written(timeseries)
    with simulated(tmp_path, "--markets", 300, "--rate", 200) as (simulator, exchange), clients_of(exchange) as clients:
        tickers = simulator.tickers(status="open")
        clock, minutely = Clock(), dict.fromkeys(BookClass, 60)
        poller = SnapshotPoller(Markets(tickers), *clients, sink, minutely, threading.Event(), clock=clock)
        for _ in range(3):
            changes = simulator.state()["now_us"]
            wait_until(lambda: simulator.state()["now_us"] > changes + 300_000)
            while poller.step():
                continue
            clock.seconds += 60
    sink.close()
    with connection.cursor() as cursor:
        cursor.execute(COUNTS)
        rows, full, markets = cursor.fetchone()
        assert (rows, markets) == (3 * len(tickers), len(tickers))
        assert len(tickers) < full < rows
        cursor.execute(UNSUPPORTED)
        assert cursor.fetchone() == (0,)
