"""Polls every book of an exchange, over and over for a while; prints how many there were. Only greenlets run here."""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

from app.kalshi.request_budget import Priority, RequestBudget  # noqa: E402
from app.kalshi.rest_client import RestClient  # noqa: E402
from app.kalshi.rest_transport import HttpSession, RestTransport  # noqa: E402
from app.polling.book_cycles import BookClass  # noqa: E402
from app.runtime import logs  # noqa: E402
from tests.kalshi.exchange import PLENTY  # noqa: E402
from tests.polling.kept import Markets  # noqa: E402
from workers.gatherer.snapshot_poller import SnapshotPoller  # noqa: E402
from workers.process.group import Group  # noqa: E402


class Counted:
    def __init__(self):
        self.rows = 0

    def put(self, _table, rows):
        self.rows += len(rows)


def main(url, seconds, fetchers):
    logs.configure("text", "error")
    group, sink = Group(), Counted()
    transport = RestTransport(HttpSession(url, None), RequestBudget(PLENTY), group.stopping)
    client = RestClient(transport, Priority.POLLING)
    tickers = [json.loads(bytes(market))["ticker"] for market in client.markets(status="open")]
    poller = SnapshotPoller(Markets(tickers), client, client, sink, dict.fromkeys(BookClass, 0), group.stopping)
    started, cpu_started = time.perf_counter(), time.process_time()
    poller.start(group, fetchers)
    group.spawn(lambda: (group.stopping.wait(seconds), group.stopping.set()))
    group.run_until_stopped()
    took_seconds = time.perf_counter() - started
    cpu_seconds = time.process_time() - cpu_started
    print(
        json.dumps(
            {
                "books_per_s": sink.rows / took_seconds,
                "books_per_cpu_s": sink.rows / cpu_seconds,
                "markets": len(tickers),
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
