"""Records changes without end, one number after the other, and says how many were put and how many of them are durable.

SIGTERM: drains and ends.
"""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import os  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
from collections import deque  # noqa: E402

import gevent.util  # noqa: E402

from app.runtime import logs  # noqa: E402
from app.runtime.clock import now_us  # noqa: E402
from app.settings.loading import load_settings  # noqa: E402
from app.storage.runs import Run  # noqa: E402
from app.storage.tables import ORDERBOOK_DELTAS  # noqa: E402
from tests.storage import rows  # noqa: E402
from workers.gatherer.writers import RunKeeper, WritePipeline  # noqa: E402
from workers.process.group import Group  # noqa: E402

PUT_ROWS = 50
PUT_SECONDS = 0.005
REPORT_SECONDS = 0.05


class Program:
    def __init__(self):
        settings = load_settings()
        limit_bytes = int(os.environ.get("FILE_LIMIT_BYTES", "0"))
        if limit_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
        self.group = Group()
        self.pipeline = WritePipeline(settings, settings.ts_dsn, settings.meta_dsn)
        self.queues = self.pipeline.queues
        run = Run(now_us(), settings.gatherer)
        self.keeper = RunKeeper(run, self.queues, [], self.group.stopping)
        self.first = self.count = int(os.environ.get("FIRST_CLOCK", "0"))
        self.has_ended = threading.Event()
        self.puts = deque()  # bounded by what waits
        self.durable = self.first

    def produce(self):
        while not self.group.stopping.wait(PUT_SECONDS):
            at_us = now_us()
            self.puts.append((at_us, self.count + PUT_ROWS))
            batch = [rows.delta(at_us, clock=self.count + number) for number in range(PUT_ROWS)]
            self.count += PUT_ROWS
            self.queues.put(ORDERBOOK_DELTAS, [(row[0], at_us, *row[2:]) for row in batch])
        self.has_ended.set()

    def report(self):
        while not self.group.stopping.wait(REPORT_SECONDS):
            self.say()

    def say(self, **more):
        since_us = self.queues.waiting_since_us() or now_us()
        while self.puts and self.puts[0][0] < since_us:
            self.durable = self.puts.popleft()[1]
        queue = self.queues.by_table[ORDERBOOK_DELTAS.name]
        said = {"put": self.count, "durable": self.durable, "waiting": queue.waiting_rows}
        said |= {
            "spool": sum(queue.spool_bytes for queue in self.queues.by_table.values()),
            "reason": self.pipeline.why_not_ready(),
        }
        print(json.dumps(said | more), flush=True)  # noqa: T201

    def finish(self):
        self.has_ended.wait()
        started = time.monotonic()
        self.pipeline.drain()
        self.keeper.end()
        hanging = self.pipeline.close()
        self.say(closed_seconds=time.monotonic() - started, hanging=hanging)
        if hanging:
            # What each of them waits for, of which the log of a failed test shall tell.
            gevent.util.print_run_info(file=sys.stdout)
            sys.stdout.flush()
            os._exit(3)

    def run(self):
        self.pipeline.start(self.group)
        for run in (self.produce, self.report, self.keeper.run, self.finish):
            self.group.spawn(run)
        self.group.run_until_stopped()


if __name__ == "__main__":
    logs.configure("json", "info")
    Program().run()
