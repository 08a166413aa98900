"""A gatherer's process: all of its recording is real, from the socket to the spool and the database. It runs when its
host lets it, and no thread runs beside it."""

import queue
import socket
from random import Random

import gevent

from app.kalshi.errors import ConnectionLostError
from app.kalshi.websocket import WebSocket
from app.runtime.backoff import Backoff
from app.runtime.clock import now_us
from app.runtime.events import Event
from app.settings import Settings
from app.storage.runs import Run
from tests.claims.clocks import Waiting
from workers.gatherer.admission import Admission
from workers.gatherer.connection import CommandSender, ConnectionContext
from workers.gatherer.connection_manager import ConnectionManager
from workers.gatherer.writers import RunKeeper, TableWriter, WritePace, WritePipeline

# One socket of a role is enough, and none for what is heard as trades are: the others never open.
CONNECTIONS = (1, 3, 7)
# Sockets are opened again within seconds.
LONGEST_REST_SECONDS = 4.0
SETTINGS = {"ws_connections": 7, "gatherers": 1}


class Process:
    def __init__(self, host):
        self.lines = []
        self._receivers = []
        self._host = host
        settings = Settings(data_dir=host.folder, gatherer=host.name, **SETTINGS)
        self._stopping = Waiting()
        self._pipeline = WritePipeline(settings, host.timeseries.dsn, host.timeseries.dsn)
        self._pipeline._ended = NEVER
        self._pipeline._pace = WritePace(settings.batch_rows, 0)
        self.queues = self._pipeline.queues
        run_id = now_us()
        around = ConnectionContext(
            dial=self._dial,
            admission=Admission(self._stopping, lambda: True),
            sink=self.queues,
            on_lifecycle=lambda _frame: None,
            on_tickers=lambda _rows: None,
            set_halted=lambda _halted: None,
            stopping=self._stopping,
        )
        self._manager = ConnectionManager(settings, run_id, around, Changes(), lambda *_missed: None)
        self.connections = [self._manager._connections[conn] for conn in CONNECTIONS]
        for connection in self.connections:
            chance = Random(connection.number).random
            connection._backoff = Backoff(1.0, LONGEST_REST_SECONDS, jitter=1.0, chance=chance)
        self._commanders = [CommandSender(each, settings.stale_seconds, self._stopping) for each in self.connections]
        self._keeper = RunKeeper(Run(run_id, host.name), self.queues, [self._manager.in_hand_since_us], self._stopping)
        self._want(host.exchange.markets)
        self._workers = []
        self._greenlets = []

    def start(self):
        self._pipeline.start(self)
        self._greenlets = [gevent.spawn(run) for run in (self._keeper.run, *(each.run for each in self.connections))]

    def spawn(self, run):
        """As a group: the recording's workers get their turn in run()."""
        self._workers.append(run.args[0])

    def run(self):
        self._manager.step()
        self._settle()
        self._spill()
        for greenlet in self._greenlets:
            # Else one that failed would hear nothing any more, and claim nothing that could be false.
            assert not greenlet.ready(), f"a part of the process ended: {greenlet.exception!r}"

    def kill(self):
        gevent.killall(self._greenlets)
        for line in self.lines:
            line.end()
        self._close()

    def stop(self):
        """In the order of workers/gatherer/process.py."""
        self._stopping.set()
        for _ in range(3):
            self._settle()
        gevent.killall(self._greenlets)
        self.queues.drain(0)
        self._keeper.end()
        self.write()
        self.queues.drain(0)
        self._close()

    def _close(self):
        for receiver in self._receivers:
            receiver.close()
        for writer in self._pipeline._writers:
            writer.close()
        self._pipeline._folder.close()

    def _want(self, tickers):
        self._manager._want(self._manager._placement.place(tickers))

    def _dial(self):
        if not self._host.is_online:
            raise ConnectionLostError("there is no way to the exchange")
        ours, theirs = socket.socketpair()
        self.lines.append(self._host.exchange.connect(theirs))
        self._receivers.append(Receiver(ours))
        return WebSocket(self._receivers[-1])

    def _settle(self):
        """Until nobody has anything to say any more."""
        self._stopping.wake()
        for commander in self._commanders:
            commander.step()
        while True:
            for connection in self.connections:
                if connection.socket is not None:
                    connection.socket._connection.wake()
            gevent.idle()
            has_news = [self._step_after_news(*each) for each in zip(self.connections, self._commanders, strict=True)]
            was_asked = self._host.exchange.answer()
            if not was_asked and not any(has_news):
                break
        self.lines = [line for line in self.lines if not line.is_over]

    def _step_after_news(self, connection, commander):
        if not connection.commands_due.is_set():
            return False
        connection.commands_due.clear()
        commander.step()
        return True

    def write(self):
        for writer in self._workers:
            if isinstance(writer, TableWriter):
                self._write_table(writer, self.queues.by_table[writer._table])

    def _write_table(self, writer, waiting):
        while waiting.waiting_rows or waiting.spool_bytes:
            writer.step()
            if waiting.away:
                break

    def _spill(self):
        for spiller in self._workers:
            if not isinstance(spiller, TableWriter):
                spiller.step()


class Receiver(socket.socket):
    """A socket whose reads let other greenlets run: wake() lets it look again."""

    def __init__(self, connection):
        super().__init__(fileno=connection.detach())
        self._woken = Event()
        self._may_wait = True

    def wake(self):
        self._woken.set()

    def settimeout(self, _seconds):
        """Who says goodbye does not wait long for the answer."""
        self._may_wait = False

    def recv(self, size):
        while True:
            try:
                return super().recv(size, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if not self._may_wait:
                    raise TimeoutError from None
            self._woken.clear()
            self._woken.wait()


class Changes:
    """No market comes or goes but by the machine's word."""

    def get(self, **_how):
        raise queue.Empty


class Never:
    def is_set(self):
        return False

    def wait(self, _seconds=None):
        return False


NEVER = Never()
