"""Many greenlets share one walk; in a process of its own, because this one is not patched."""

import json

from tests.processes import run

FETCHERS = 12

GREENLETS = """
from gevent import monkey
monkey.patch_all()
import json, sys, threading
import gevent
from app.runtime import logs
from app.polling.book_cycles import BookClass
from app.polling.books import TICKER
from tests.kalshi.exchange import FakeExchange, Reply
from tests.polling.exchanges import clients_of
from tests.polling.kept import KeptRows, Markets
from workers.process.group import Group
from workers.gatherer.snapshot_poller import SnapshotPoller

logs.configure("text", "error")
fetchers = int(sys.argv[1])
tickers = [f"KXTEST-{number}" for number in range(10_030)]
release, most_at_once = threading.Event(), 0

def books(asked):
    answered = [value for name, value in asked.query if name == "tickers"]
    found = [{"ticker": ticker, "orderbook_fp": {"yes_dollars": [["0.4200", "13.00"]]}} for ticker in answered]
    return Reply(200, {"orderbooks": found}, after=release)

group, sink = Group(), KeptRows()
with FakeExchange().running() as exchange, clients_of(exchange, group.stopping) as (client, urgent_client):
    exchange.rule = books
    poller = SnapshotPoller(Markets(tickers), client, urgent_client, sink, dict.fromkeys(BookClass, 3_600), group.stopping)
    poller.start(group, fetchers)

    def watch():
        while len(exchange.asked) < fetchers:
            gevent.sleep(0.01)
        gevent.sleep(0.1)
        at_once = len(exchange.asked)
        release.set()
        while len(sink.snapshots) < len(tickers):
            gevent.sleep(0.01)
        group.stopping.set()
        polled = [row[TICKER] for row in sink.snapshots]
        print(json.dumps({"at_once": at_once, "requests": len(exchange.asked), "each_once": sorted(polled) == sorted(tickers)}))

    group.spawn(watch)
    group.run_until_stopped()
"""


def test_as_many_requests_are_under_way_as_there_are_fetchers_and_each_market_is_polled_once():
    done = run("-c", GREENLETS, FETCHERS, NO_PROXY="127.0.0.1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"at_once": FETCHERS, "requests": 101, "each_once": True}
