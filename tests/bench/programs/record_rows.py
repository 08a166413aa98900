"""Puts so many changes into a recorder, or hands them to a bare writer, and says how long that took to the last commit."""

from gevent import monkey

monkey.patch_all()

import itertools  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

import gevent  # noqa: E402

from app.runtime import logs  # noqa: E402
from app.runtime.threads import threads  # noqa: E402
from app.settings.loading import load_settings  # noqa: E402
from app.storage.tables import ORDERBOOK_DELTAS  # noqa: E402
from app.storage.writer import CopyWriter  # noqa: E402
from tests.bench.copy import BATCH_ROWS, rows_forever  # noqa: E402
from workers.gatherer.writers import WritePipeline  # noqa: E402
from workers.process.group import Group  # noqa: E402

PUT_ROWS = 50
COMMITTED_SECONDS = 0.005


def main(way, rows):
    logs.configure("text", "warning")
    settings = load_settings()
    made = list(itertools.islice(rows_forever(seed=1), rows))
    seconds, more = {"recorder": record, "writer": write}[way](settings, made)
    print(json.dumps({"rows_per_s": rows / seconds, **more}))


def write(settings, rows):
    writer = CopyWriter(ORDERBOOK_DELTAS, settings.ts_dsn, threads(1))
    start = time.perf_counter()
    for first in range(0, len(rows), BATCH_ROWS):
        writer.write(rows[first : first + BATCH_ROWS])
    seconds = time.perf_counter() - start
    writer.close()
    return seconds, {}


def record(settings, rows):
    pipeline = WritePipeline(settings, settings.ts_dsn, settings.meta_dsn)
    group = Group()
    pipeline.start(group)
    queues = pipeline.queues
    stall = Stall()
    group.spawn(stall.run)
    start = time.perf_counter()
    for first in range(0, len(rows), PUT_ROWS):
        queues.put(ORDERBOOK_DELTAS, rows[first : first + PUT_ROWS])
        # As a socket does when it was read empty.
        gevent.sleep(0)
    put_seconds = time.perf_counter() - start
    # What went by way of the disk is not committed yet.
    while queues.waiting_rows() or any(queue.spool_bytes for queue in queues.by_table.values()):
        gevent.sleep(COMMITTED_SECONDS)
    seconds = time.perf_counter() - start
    pipeline.drain()
    stall.is_over = True
    pipeline.close()
    group.run_until_stopped()
    return seconds, {"put_seconds": put_seconds, "stall_p99_s": stall.p99()}


class Stall:
    """How late a greenlet wakes that asks for a millisecond."""

    def __init__(self):
        self.is_over = False
        self.late = []

    def run(self):
        while not self.is_over:
            start = time.perf_counter()
            gevent.sleep(0.001)
            self.late.append(time.perf_counter() - start - 0.001)

    def p99(self):
        return sorted(self.late)[len(self.late) * 99 // 100]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
