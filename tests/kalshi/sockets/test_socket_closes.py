import threading
import time

import pytest

from app.kalshi.errors import ClosedError, ConnectionLostError
from app.kalshi.frames import CLOSE, TEXT
from tests.kalshi.sockets.scripted_server import connected
from tests.kalshi.sockets.server_frames import close_frame, server_frame
from tests.processes import wait_until


def test_a_server_s_goodbye_is_answered_and_told_after_its_last_messages(transport):
    answers = []

    def script(peer):
        peer.send(server_frame(b"last") + close_frame(1001, b"maintenance"))
        answers.extend(peer.frames_to_the_end())

    with connected(script, transport) as opened:
        assert opened.receive().messages == [b"last"]
        for _ in range(2):
            with pytest.raises(ClosedError, match="maintenance") as caught:
                opened.receive()
            assert (caught.value.code, caught.value.reason) == (1001, "maintenance")
        with pytest.raises(ClosedError):
            opened.send(b"too late")
        wait_until(lambda: answers, what="the end that the server sees before we let go")
    assert answers == [(CLOSE, (1001, ""))]


def test_a_goodbye_without_a_code_is_answered_without_one():
    answers = []

    def script(peer):
        peer.send(server_frame(b"", CLOSE))
        answers.extend(peer.frames_to_the_end())

    with connected(script) as opened, pytest.raises(ClosedError):
        opened.receive()
    assert answers == [(CLOSE, (1005, ""))]


def test_our_goodbye_is_said_once_and_waits_for_the_answer(transport):
    seen = []

    def script(peer):
        seen.append(peer.next_frame())
        peer.send(server_frame(b"on its way") + close_frame(1000))
        seen.extend(peer.frames_to_the_end())

    with connected(script, transport) as opened:
        opened.close(1000, "done")
        opened.close()
        with pytest.raises(ClosedError):
            opened.receive()
    assert seen == [(CLOSE, (1000, "done"))]


def test_after_asking_to_close_what_is_on_its_way_can_be_received(transport):
    def script(peer):
        assert peer.next_frame()[0] == CLOSE
        peer.send(server_frame(b"on its way") + close_frame(1000))

    with connected(script, transport) as opened:
        assert opened.ask_to_close()
        assert not opened.ask_to_close()
        with pytest.raises(ClosedError):
            opened.send(b"nothing may follow")
        assert opened.receive().messages == [b"on its way"]
        with pytest.raises(ClosedError):
            opened.receive()


@pytest.fixture
def _short_goodbye(monkeypatch):
    monkeypatch.setattr("app.kalshi.websocket.GOODBYE_SECONDS", 0.2)


@pytest.mark.usefixtures("_short_goodbye")
def test_a_server_that_does_not_answer_or_floods_does_not_hold_us_for_long():
    let_go = threading.Event()

    def flood(peer):
        try:
            while not let_go.is_set():
                peer.send(server_frame(b"x" * 10_000))
        except ConnectionError as error:
            seen.append(error)

    for script in (lambda _: let_go.wait(120), flood):
        seen = []
        let_go.clear()
        with connected(script) as opened:
            start_seconds = time.monotonic()
            opened.close()
            assert time.monotonic() - start_seconds < 4
            with pytest.raises(ConnectionLostError, match="closed by us"):
                opened.receive()
            let_go.set()


@pytest.mark.usefixtures("_short_goodbye")
def test_closing_wakes_whoever_receives(transport):
    let_go = threading.Event()
    endings = []

    def receive(opened):
        try:
            opened.receive()
        except (ClosedError, ConnectionLostError) as ending:
            endings.append(ending)

    with connected(lambda _: let_go.wait(120), transport) as opened:
        receiver = threading.Thread(target=receive, args=(opened,))
        receiver.start()
        wait_until(opened._receiving.locked)
        opened.close()
        receiver.join(120)
        let_go.set()
    assert len(endings) == 1


def test_a_goodbye_leaves_before_the_connection_ends_even_after_a_refused_frame():
    seen = []

    def script(peer):
        peer.send(server_frame(b"x", reserved=1))
        seen.extend(peer.frames_to_the_end())

    with connected(script) as opened:
        opened.send(b"before")
        opened.close(1001)
    # The script's frame was refused while we waited for the answer to our goodbye, of which there is one.
    assert [(opcode, payload) for opcode, payload in seen if opcode != TEXT] == [(CLOSE, (1001, ""))]
