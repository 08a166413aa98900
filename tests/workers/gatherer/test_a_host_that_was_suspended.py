"""A host that slept, a virtual machine that was paused, a clock that was set: nothing counts as heard meanwhile."""

import socket
from contextlib import closing
from itertools import count

import msgspec
import pytest

import app.kalshi.websocket
import workers.gatherer.connection
import workers.gatherer.writers
from app.kalshi.errors import SocketError
from app.kalshi.frames import CLOSE
from app.kalshi.websocket import WebSocket
from app.storage.runs import Run
from app.storage.tables import GAPS
from app.subscriptions.book_subscription import BookSubscription
from app.subscriptions.journal import Journal
from app.subscriptions.router import MessageRouter
from tests.kalshi.sockets.server_frames import server_frame as message
from tests.normalize.frames import NOON_MS, lifecycle, snapshot
from workers.gatherer.connection import CommandSender, Connection, ConnectionContext
from workers.gatherer.writers import RunKeeper

NOON_US = NOON_MS * 1_000
SECOND_US = 1_000_000
CONN, STALE_SECONDS = 7, 60


class Clocks:
    """This host's: what it takes for the time, and what goes on by itself."""

    def __init__(self):
        self.now_us = NOON_US
        self.seconds = 1_000.0

    def run(self, seconds, set_seconds=0):
        self.seconds += seconds
        self.now_us += int((seconds + set_seconds) * SECOND_US)


class Host:
    """One connection of order books as it runs in a gatherer, whose greenlets take turns when a test says."""

    def __init__(self, clocks, ours):
        self.clocks = clocks
        self.rows = {}
        self.on_lifecycle = lambda: None  # what goes on while the registry is too busy to take it
        journal = Journal(NOON_US, CONN, count(1))
        self.books = BookSubscription(journal, 3_600)
        self.books.want(["A"])
        context = ConnectionContext(None, None, self, lambda _: self.on_lifecycle(), None, lambda _: None, self)
        self.connection = Connection(self.books, journal, context)
        self.socket = self.connection.socket = WebSocket(ours)
        self.router = MessageRouter(CONN, self.connection.role, self.books)
        self.books.opened(self.router.stream, int(clocks.seconds * SECOND_US))
        self.commander = CommandSender(self.connection, STALE_SECONDS, self)
        self.run = Run(NOON_US, "a")
        self.keeper = RunKeeper(self.run, self, [self.connection.in_hand_since_us], self, lambda: clocks.seconds)
        self.keeper.step()

    def put(self, table, rows):
        self.rows.setdefault(table, []).extend(rows)

    def waiting_since_us(self):
        return None

    def is_set(self):
        return False

    def wait(self, _seconds=None):
        """As the run's keeper and the commander are, after a second of this host."""
        return False

    def tick(self):
        self.clocks.run(1)
        self.commander.step()
        self.keeper.step()
        self.keeper._asleep_since = self.clocks.seconds
        return self.run.recorded_until_us

    def heard(self):
        try:
            return self.theirs.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""

    def was_ended(self):
        """Whether the exchange was told goodbye. All we say is short."""
        said, opcodes = self.heard(), []
        while said:
            size = said[1] & 0x7F
            start = 6 if size < 126 else 8
            opcodes.append(said[0] & 0x0F)
            said = said[start + (size if size < 126 else int.from_bytes(said[2:4])) :]
        return CLOSE in opcodes

    def end(self):
        try:
            while True:
                self.connection._step(self.socket, self.router)
        except SocketError:
            self.connection._socket_ended(self.socket)
        return self.rows[GAPS][-1]


@pytest.fixture
def clocks(monkeypatch):
    made = Clocks()
    for module in (app.kalshi.websocket, workers.gatherer.writers):
        monkeypatch.setattr(module, "now_us", lambda: made.now_us)
    for module in (app.kalshi.websocket, workers.gatherer.connection):
        monkeypatch.setattr(module, "steady_seconds", lambda: made.seconds)
    monkeypatch.setattr(workers.gatherer.connection, "steady_us", lambda: int(made.seconds * SECOND_US))
    return made


@pytest.fixture
def host(clocks):
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    with closing(ours), closing(theirs):
        made = Host(clocks, ours)
        made.commander.step()
        assert theirs.recv(1 << 16, socket.MSG_DONTWAIT)
        subscribed = {"id": 1, "type": "subscribed", "msg": {"channel": "orderbook_delta", "sid": 1}}
        theirs.sendall(message(msgspec.json.encode(subscribed)) + message(snapshot(ticker="A", sid=1, seq=1)))
        made.connection._step(made.socket, made.router)
        made.theirs = theirs
        yield made


WAYS = {
    "suspended": {"seconds": 600},
    "paused, then set": {"seconds": 0, "set_seconds": 600},
    "set back": {"seconds": 0, "set_seconds": -600},
    "set forward": {"seconds": 0, "set_seconds": 600},
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_counts_as_recorded_since_the_last_frame(host, clocks, way):
    fell_asleep_us = host.tick() + 2 * SECOND_US
    clocks.run(**WAYS[way])
    assert max(host.tick() for _ in range(5)) <= fell_asleep_us


@pytest.mark.parametrize("way", WAYS)
def test_the_hole_begins_with_the_last_frame(host, clocks, way):
    host.tick()
    clocks.run(**WAYS[way])
    host.tick()
    host.theirs.close()
    assert host.end().started_us <= NOON_US + SECOND_US


def test_a_clock_that_was_ahead_and_is_set_back_leaves_no_sign_of_life_in_the_future(host, clocks):
    clocks.run(seconds=7, set_seconds=-600)
    assert host.socket.last_sign_us == clocks.now_us - 7 * SECOND_US


def test_a_socket_that_was_not_read_while_the_host_slept_is_given_a_moment_to_be_read(host, clocks):
    clocks.run(600)
    host.tick()
    assert host.connection.socket is host.socket
    host.theirs.sendall(message(b"{}"))
    host.connection._step(host.socket, host.router)
    host.tick()
    assert not host.was_ended()


def test_a_socket_that_stays_silent_after_the_host_slept_is_ended(host, clocks):
    clocks.run(600)
    for _ in range(STALE_SECONDS + 2):
        host.tick()
    assert host.was_ended()


def test_a_socket_is_not_ended_while_what_it_said_of_markets_waits_to_be_taken(host):
    host.on_lifecycle = lambda: [host.tick() for _ in range(STALE_SECONDS + 5)]
    host.theirs.sendall(message(lifecycle(event_type="created")))
    host.connection._step(host.socket, host.router)
    host.tick()
    assert not host.was_ended()
