"""Starts a registry against the exchange at the given address, with a sink that discards; says what that took."""

from gevent import monkey

monkey.patch_all()

import gc  # noqa: E402
import json  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections import Counter  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402

from app.kalshi.request_budget import Priority, RequestBudget  # noqa: E402
from app.kalshi.rest_client import RestClient  # noqa: E402
from app.kalshi.rest_transport import HttpSession, RestTransport  # noqa: E402
from app.markets.sync import SettlementsSince  # noqa: E402
from app.runtime import logs  # noqa: E402
from app.settings import Settings  # noqa: E402
from tests.kalshi.exchange import PLENTY  # noqa: E402
from workers.process.group import Group  # noqa: E402
from workers.registry.registry import MarketRegistry  # noqa: E402

PAGE = 100
PAGES = 2_000


class Discarding:
    def __init__(self):
        self.rows = Counter()

    def put(self, table, rows):
        self.rows[table.name] += len(rows)


class Stall:
    """The longest time for which a greenlet that only sleeps did not have its turn."""

    def __init__(self):
        self.seconds = []

    def watch(self):
        while True:
            started = time.perf_counter()
            gevent.sleep(0.005)
            self.seconds.append(time.perf_counter() - started - 0.005)


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def take_all(queue, taken):
    while True:
        taken[queue.get().event_type] += 1


def page_seconds(registry):
    spent, after = [], None
    for _ in range(PAGES):
        started = time.perf_counter()
        page = registry.active_page(after, PAGE)
        spent.append(time.perf_counter() - started)
        after = page[-1].ticker if page else None
    return sorted(spent)


def main(rest_url):
    logs.configure("text", "warning")
    group, sink, stall, changes = Group(), Discarding(), Stall(), Counter()
    transport = RestTransport(HttpSession(rest_url, None), RequestBudget(PLENTY), group.stopping)
    at_first = SettlementsSince(Path("/nowhere"), lambda: None, lambda: None)
    registry = MarketRegistry(
        RestClient(transport, Priority.RECONCILE), sink, Settings(), group, at_first, lambda *_: []
    )
    watchers = [gevent.spawn(stall.watch), gevent.spawn(take_all, registry.subscribe_changes(), changes)]
    gc.collect()
    before_bytes, started = resident_bytes(), time.perf_counter()
    registry.start()
    while registry.why_not_ready() != "reading events" and registry.why_not_ready():
        gevent.sleep(0.05)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time()
    gc.collect()
    used_bytes = resident_bytes() - before_bytes
    markets = sum(registry.counts().values())
    pages = page_seconds(registry)
    stalls = sorted(stall.seconds)
    print(
        json.dumps(
            {
                "markets": markets,
                "active": registry.counts()["active"],
                "seconds": seconds,
                "cpu_seconds": cpu_seconds,
                "bytes_per_market": used_bytes / max(markets, 1),
                "resident_bytes": resident_bytes(),
                "answers": transport.answers["2xx"],
                "rows": sink.rows["markets"],
                "quarantined": sink.rows["quarantine"],
                "changes": changes,
                "stall_longest_s": stalls[-1],
                "stall_p99_s": stalls[len(stalls) * 99 // 100],
                "page_p99_s": pages[len(pages) * 99 // 100],
            }
        ),
        flush=True,
    )
    registry.stop()
    gevent.killall(watchers)


if __name__ == "__main__":
    main(sys.argv[1])
