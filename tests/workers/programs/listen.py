"""Connections as in a gatherer, that a test tells what to do line by line: see tests/workers/listening.py."""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import NamedTuple  # noqa: E402

import gevent  # noqa: E402
import gevent.queue  # noqa: E402
import msgspec  # noqa: E402
from gevent.fileobject import FileObject  # noqa: E402

from app.postgres.dsn import Dsn  # noqa: E402
from app.runtime import logs  # noqa: E402
from app.runtime.health import Latch  # noqa: E402
from app.settings.loading import load_settings  # noqa: E402
from app.storage.tables import (  # noqa: E402
    GATHERER_TABLES,
    JOURNAL_TABLES,
    LIFECYCLE_CONNECTIONS,
    LIFECYCLE_EVENTS,
    QUARANTINE,
)
from app.storage.writer import CopyWriter  # noqa: E402
from app.subscriptions.dial_queue import socket_factory  # noqa: E402
from workers.gatherer.admission import Admission  # noqa: E402
from workers.gatherer.connection import ConnectionContext  # noqa: E402
from workers.gatherer.connection_manager import ConnectionManager  # noqa: E402
from workers.process.group import Group  # noqa: E402

# Instead of minutes.
LATCH_SECONDS = 1.0


class Change(NamedTuple):
    ticker: str
    is_to_be_recorded: bool
    is_closing: bool = False


class Rows:
    """Keeps all rows, or only counts them."""

    def __init__(self, keeps):
        self.keeps = keeps
        self.rows = {table.name: [] for table in (*GATHERER_TABLES, *JOURNAL_TABLES, QUARANTINE)}
        self.counts = dict.fromkeys(self.rows, 0)

    def put(self, table, rows):
        self.counts[table.name] += len(rows)
        if self.keeps:
            self.rows[table.name].extend(rows)


class Program:
    def __init__(self, keeps):
        self.group = Group()
        self.sink = Rows(keeps)
        self.changes = gevent.queue.Queue(1_000)
        self.is_open = True
        self.lifecycle = 0
        self.halted = False
        self.missed_trades = []
        settings = load_settings()
        context = ConnectionContext(
            dial=socket_factory(settings),
            admission=Admission(self.group.stopping, lambda: self.is_open, connects_per_second=100),
            sink=self.sink,
            on_lifecycle=self.take_lifecycle,
            on_tickers=lambda _rows: None,
            set_halted=self.set_halted,
            stopping=self.group.stopping,
        )
        run_id = time.time_ns() // 1000
        self.manager = ConnectionManager(
            settings,
            run_id,
            context,
            self.changes,
            lambda *missed: self.missed_trades.append(missed),
            Latch(LATCH_SECONDS),
        )
        self.manager.start(self.group.spawn)
        self.worst_stall_seconds = 0.0
        self.group.spawn(self.watch)

    def take_lifecycle(self, _frame):
        self.lifecycle += 1

    def set_halted(self, is_halted):
        self.halted = is_halted

    def watch(self):
        while not self.group.stopping.is_set():
            before = time.monotonic()
            gevent.sleep(0.01)
            self.worst_stall_seconds = max(self.worst_stall_seconds, time.monotonic() - before - 0.01)

    def want(self, tickers, is_wanted):
        for ticker in tickers:
            self.changes.put(Change(ticker, is_wanted))

    def state(self):
        manager = self.manager
        usage = resource.getrusage(resource.RUSAGE_SELF)
        stall_seconds, self.worst_stall_seconds = self.worst_stall_seconds, 0.0
        return {
            "connections": msgspec.to_builtins(manager.connections()),
            "why_not_ready": manager.why_not_ready(),
            "in_hand": manager.in_hand_since_us(),
            "rows": self.sink.counts,
            "lifecycle": self.lifecycle,
            "halted": self.halted,
            "missed_trades": self.missed_trades,
            "waiting_changes": self.changes.qsize(),
            "now_us": time.time_ns() // 1000,
            "processor_seconds": usage.ru_utime + usage.ru_stime,
            "resident_bytes": int(Path("/proc/self/statm").read_text().split()[1]) * 4096,
            "stall_seconds": stall_seconds,
        }

    def obey(self, line):
        match json.loads(line):
            case {"want": tickers}:
                self.want(tickers, True)
            case {"want_file": path}:
                self.want(Path(path).read_text().splitlines(), True)
            case {"unwant": tickers}:
                self.want(tickers, False)
            case {"open": is_open}:
                self.is_open = is_open
            case {"rows": table}:
                return [
                    [value if not isinstance(value, bytes) else value.decode(errors="replace") for value in row]
                    for row in self.sink.rows[table]
                ]
            case {"write": dsn}:
                self.write(Dsn(dsn))
        return self.state()

    def write(self, dsn):
        for table in GATHERER_TABLES:
            writer = CopyWriter(table, dsn)
            # What two connections say of the life of markets is merged later, by whom a test here is not about.
            is_one = table is not LIFECYCLE_EVENTS
            writer.write([row for row in self.sink.rows[table.name] if is_one or row[-3] == LIFECYCLE_CONNECTIONS[0]])
            writer.close()

    def serve(self):
        for line in FileObject(sys.stdin.buffer):
            answer = self.obey(line)
            sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
            sys.stdout.buffer.flush()
        self.group.stopping.set()


def main(keeps):
    logs.configure("text", "info")
    program = Program(keeps == "keep")
    program.group.spawn(program.serve)
    program.group.run_until_stopped()


main(sys.argv[1])
