"""A registry in a process of its own, as it runs in a gatherer: takes one command a line, answers with one JSON line."""

from gevent import monkey

monkey.patch_all()

import itertools  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402
import gevent.queue  # noqa: E402
import msgspec  # noqa: E402
from gevent.fileobject import FileObject  # noqa: E402

from app.kalshi.request_budget import Priority, RequestBudget  # noqa: E402
from app.kalshi.rest_client import RestClient  # noqa: E402
from app.kalshi.rest_transport import HttpSession, RestTransport  # noqa: E402
from app.markets import refetch_queue  # noqa: E402
from app.markets.sync import SettlementsSince  # noqa: E402
from app.normalize.stream import Stream  # noqa: E402
from app.runtime import logs  # noqa: E402
from app.settings import Settings  # noqa: E402
from app.status import progress  # noqa: E402
from app.storage.tables import METADATA_TABLES, QUARANTINE  # noqa: E402
from tests.kalshi.exchange import PLENTY, QUICK  # noqa: E402
from workers.process.group import Group  # noqa: E402
from workers.registry import known_markets, market_sync  # noqa: E402
from workers.registry.registry import MarketRegistry  # noqa: E402


class RememberingSink:
    def __init__(self):
        self.rows = {table.name: {} for table in METADATA_TABLES}
        self.quarantined = []
        self.puts = 0

    def put(self, table, rows):
        if table == QUARANTINE:
            self.quarantined += [row[:3] for row in rows]
            return
        self.puts += len(rows)
        for row in rows:
            self.rows[table.name][row[0]] = dict(zip(table.column_names, row, strict=True))


class Clock:
    """The exchange's, which may run faster than ours, and stands when it is told to."""

    def __init__(self, start_us, speed):
        self._start_us, self._speed, self._since = start_us, speed, time.monotonic()

    def __call__(self):
        return self._start_us + int((time.monotonic() - self._since) * 1_000_000 * self._speed)

    def stand(self, at_us):
        self._start_us, self._speed = at_us, 0


class Program:
    def __init__(self, options):
        self.group = Group()
        self.sink = RememberingSink()
        self.clock = Clock(options.pop("start_us", time.time_ns() // 1_000), options.pop("speed", 1))
        session = HttpSession(options.pop("rest_url"), None)
        transport = RestTransport(session, RequestBudget(PLENTY), self.group.stopping, QUICK)
        last_recorded_us = options.pop("last_recorded_us", None)
        file = Path(options.pop("settlements_since", "/nowhere"))
        since = SettlementsSince(file, lambda: last_recorded_us, lambda: None)
        if "back_off_us" in options:
            refetch_queue.BACK_OFF_US = tuple(options.pop("back_off_us"))
        self.late_listener = None
        self.is_slow = options.pop("is_slow", False)
        settings = msgspec.convert(options, Settings)
        client = RestClient(transport, Priority.RECONCILE)
        self.registry = MarketRegistry(client, self.sink, settings, self.group, since, lambda *_: [], self.clock)
        self.queue = self.registry.subscribe_changes()
        self.changes, self.late, self.held = [], [], []
        self.frames = gevent.queue.Queue(1_000)
        self.registry.set_lifecycle_source(self.frames)

    def run(self):
        self.registry.start()
        commands = gevent.spawn(self.obey)
        listener = None if self.is_slow else gevent.spawn(self.listen)
        self.group.run_until_stopped()
        gevent.killall([commands, *filter(None, [listener, self.late_listener])])
        self.say({"ended": True})

    def listen(self):
        while True:
            self.changes.append(self.queue.get())

    def obey(self):
        for line in FileObject(sys.stdin.buffer, "rb"):
            command, _, argument = line.strip().partition(b" ")
            answer = getattr(self, command.decode())(argument)
            if answer is not None:
                self.say(answer)

    def frame(self, argument):
        self.frames.put(argument)

    def stand(self, argument):
        self.clock.stand(int(argument))

    def take(self, argument):
        return [change.ticker for change in (self.queue.get() for _ in range(int(argument)))]

    def waiting(self, _argument):
        return self.queue.qsize()

    def state(self, _argument):
        markets = list(map(self.registry.get_market, self.sink.rows["markets"]))
        return {
            "why_not_ready": self.registry.why_not_ready(),
            "exchange_open": self.registry.exchange_open.is_set(),
            "counts": self.registry.counts(),
            "statuses": {market.ticker: market.status for market in markets if market is not None},
            "active": list(self.registry.active_tickers()),
            "rows": self.sink.rows,
            "quarantined": self.sink.quarantined,
            "puts": self.sink.puts,
            "changes": [(*change[:4], change.market is None, change.is_to_be_recorded) for change in self.changes],
        }

    def subscribe(self, _argument):
        """One more listener, after the start."""
        late = self.registry.subscribe_changes()
        self.late_listener = gevent.spawn(lambda: [self.late.append(late.get()) for _ in itertools.count()])

    def subscribe_and_sleep(self, _argument):
        self.registry.subscribe_changes()

    def told_late(self, _argument):
        return [(*change[:4], change.market and change.market._asdict()) for change in self.late]

    def active_markets(self, _argument):
        self.held = self.registry.get_active_markets()
        return self.markets_held("")

    def markets_held(self, _argument):
        """The list that was asked for last, as it is now."""
        return [market._asdict() for market in self.held]

    def market(self, ticker):
        market = self.registry.get_market(ticker.decode())
        return {"market": market and market._asdict()}

    def ticker(self, argument):
        """Frames of tickers, as a connection of a gatherer reads them and hands them on."""
        stream = Stream(1)
        rows = []
        for frame in argument.split(b"\t"):
            _, row, gap = stream.read(frame, self.clock())
            assert gap is None
            rows.append(row)
        self.registry.apply_tickers(rows)

    def stop_and_look(self, _argument):
        self.registry.stop()
        return {"running": sum(not greenlet.dead for greenlet in self.registry._greenlets)}

    def reconcile(self, _argument):
        self.registry.reconcile()

    def stop(self, _argument):
        self.registry.stop()

    def say(self, answer):
        sys.stdout.write(json.dumps(answer, default=bytes.decode) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    # There is no cache in front of a simulator, and its time runs faster.
    refetch_queue.CONFIRMING_US = refetch_queue.SECOND_US
    known_markets.RETRY_SECONDS = market_sync.RETRY_SECONDS = 0.1
    progress.WINDOW_SECONDS = 3.0
    logs.configure("text", "info")
    Program(json.loads(sys.argv[1])).run()
