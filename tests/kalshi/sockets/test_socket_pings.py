import socket
import threading

import pytest
from wsproto.frame_protocol import FrameProtocol

from app.kalshi.errors import ConnectionLostError
from app.kalshi.frames import PING, PONG, TEXT
from app.kalshi.websocket import FrameSender
from tests.kalshi.sockets.scripted_server import connected
from tests.kalshi.sockets.server_frames import server_frame
from tests.processes import wait_until

LONG_BYTES = 32 << 20


def test_a_ping_is_answered_with_its_payload(transport):
    answers = []

    def script(peer):
        for payload in (b"heartbeat", b"", b"x" * 125):
            peer.send(server_frame(payload, PING))
            answers.append(peer.next_frame())
        peer.send(server_frame(b"done"))

    with connected(script, transport) as opened:
        assert opened.receive().messages == [b"done"]
    assert answers == [(PONG, b"heartbeat"), (PONG, b""), (PONG, b"x" * 125)]


def test_a_ping_behind_messages_is_answered_before_those_are_asked_for():
    answered = threading.Event()

    def script(peer):
        peer.send(b"".join(server_frame(b"%d" % number) for number in range(200)) + server_frame(b"heartbeat", PING))
        assert peer.next_frame() == (PONG, b"heartbeat")
        answered.set()

    with connected(script) as opened:
        assert opened.receive(max_messages=1).messages == [b"0"]
        assert answered.wait(120)


def test_a_flood_of_pings_is_answered_by_the_latest_and_holds_nothing_up():
    answers = []

    def script(peer):
        peer.send(b"".join(server_frame(b"%d" % number, PING) for number in range(20_000)) + server_frame(b"done"))
        while not answers or answers[-1] != (PONG, b"19999"):
            answers.append(peer.next_frame())

    with connected(script) as opened:
        assert opened.receive().messages == [b"done"]
    assert 1 <= len(answers) < 2_000


def test_reading_goes_on_while_the_server_takes_nothing_and_the_pong_follows_when_it_does():
    """A server that is stuck with sending reads nothing: if we waited for it to take our pong, both would for ever."""
    read_now, sent_all = threading.Event(), threading.Event()
    seen = []

    def script(peer):
        peer.send(server_frame(b"heartbeat", PING))
        for _ in range(2_000):
            peer.send(server_frame(b"x" * 4_000))
        sent_all.set()
        assert read_now.wait(120)
        seen.extend([peer.next_frame()[0]])
        while seen[-1] != PONG:
            seen.append(peer.next_frame()[0])
        peer.send(server_frame(b"done"))

    with connected(script) as opened:
        sender = threading.Thread(target=opened.send, args=(b"y" * LONG_BYTES,))
        sender.start()
        wait_until(opened._sender._lock.locked)
        received = 0
        while received < 2_000:
            received += len(opened.receive().messages)
        assert sent_all.wait(120)
        assert sender.is_alive()
        read_now.set()
        assert opened.receive().messages == [b"done"]
        sender.join()
    assert seen[0] == TEXT
    assert seen[-1] == PONG


def test_a_pong_waits_for_room_and_not_the_reader_for_the_pong():
    def script(peer):
        peer.send(server_frame(b"heartbeat", PING) + server_frame(b"first"))
        assert filled.wait(120)
        rest = filled_bytes
        while rest > 0:
            rest -= len(peer.connection.recv(min(rest, 1 << 20)))
        peer.send(server_frame(b"second"))
        assert peer.next_frame() == (PONG, b"heartbeat")

    filled, filled_bytes = threading.Event(), 0
    with connected(script, timeout_seconds=2) as opened:
        filled_bytes = fill(opened._connection)
        assert opened.receive().messages == [b"first"]
        filled.set()
        assert opened.receive().messages == [b"second"]


def test_a_pong_that_comes_as_a_sender_finishes_is_sent_by_that_sender():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = FrameSender(ours)
        sender._lock = LockWithALatecomer(sender)
        sender.send(b"command")
        peer = FrameProtocol(client=False, extensions=[])
        peer.receive_bytes(theirs.recv(1 << 16))
        frames = [(int(frame.opcode), frame.payload) for frame in peer.received_frames()]
    assert frames == [(TEXT, "command"), (PONG, b"late")]


class LockWithALatecomer:
    """In the moment before the sender gives it up, the reader has a pong to send and does not get it."""

    def __init__(self, sender):
        self._lock, self._sender, self._is_first = threading.Lock(), sender, True
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def __enter__(self):
        self._lock.acquire()

    def __exit__(self, *_):
        if self._is_first:
            self._is_first = False
            self._sender.pong(b"late")
            self._sender.flush()
        self._lock.release()


def fill(connection):
    """Writes until nothing more is taken; how many bytes that were."""
    filled_bytes, timeout_seconds = 0, connection.gettimeout()
    connection.settimeout(0)
    try:
        while True:
            filled_bytes += connection.send(bytes(1 << 16))
    except BlockingIOError:
        connection.settimeout(timeout_seconds)
        return filled_bytes


def test_a_pong_that_cannot_be_sent_does_not_cost_what_is_still_to_be_read():
    def script(peer):
        peer.send(server_frame(b"first", PING) + server_frame(b"second"))

    with connected(script) as opened:
        # As if a send had failed before.
        opened._sender._ending = ConnectionLostError("on the way out")
        assert opened.receive().messages == [b"second"]
        with pytest.raises(ConnectionLostError, match="without a Close frame"):
            opened.receive()
