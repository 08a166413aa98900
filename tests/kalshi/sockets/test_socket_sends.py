import threading

import pytest

from app.kalshi.errors import ConnectionLostError, SocketError, SocketTimeoutError
from app.kalshi.frames import TEXT
from tests.kalshi.sockets.scripted_server import connected
from tests.kalshi.sockets.server_frames import server_frame

SENDERS = 8
MESSAGES = 50


def test_a_command_arrives_as_one_text(transport):
    command = b'{"id":1,"cmd":"subscribe","params":{"market_tickers":["' + b"X" * 100_000 + b'"]}}'
    arrived = []

    def script(peer):
        arrived.append(peer.next_frame())
        while len("".join(text for _, text in arrived)) < len(command):
            arrived.append(peer.next_frame())
        peer.send(server_frame(b"ok"))

    with connected(script, transport) as opened:
        opened.send(command)
        assert opened.receive().messages == [b"ok"]
    assert "".join(text for _, text in arrived).encode() == command
    assert arrived[0][0] == TEXT


def test_messages_of_several_threads_stay_whole():
    arrived = []

    def script(peer):
        # wsproto gives a long text in pieces: each ends with its number.
        text = ""
        while len(arrived) < SENDERS * MESSAGES:
            text += peer.next_frame()[1]
            *whole, text = text.split("\n")
            arrived.extend(whole)
        peer.send(server_frame(b"done"))

    def send_all(opened, letter):
        for number in range(MESSAGES):
            opened.send(f"{letter * 20_000}{number}\n".encode())

    with connected(script) as opened:
        senders = [threading.Thread(target=send_all, args=(opened, letter)) for letter in "abcdefgh"]
        for sender in senders:
            sender.start()
        assert opened.receive().messages == [b"done"]
        for sender in senders:
            sender.join()
    expected = [f"{letter * 20_000}{number}" for letter in "abcdefgh" for number in range(MESSAGES)]
    assert sorted(arrived) == sorted(expected)


def test_a_server_that_takes_nothing_times_out_and_the_connection_is_given_up(transport):
    read_now = threading.Event()

    def script(peer):
        peer.send(server_frame(b"on its way"))
        assert read_now.wait(120)
        while peer.connection.recv(1 << 20):
            assert peer

    with connected(script, transport, timeout_seconds=0.2) as opened:
        with pytest.raises(SocketTimeoutError, match="sending timed out"):
            opened.send(b"x" * (16 << 20))
        # A part of it is out: anything more would be read as the rest of it.
        with pytest.raises(SocketTimeoutError, match="sending timed out"):
            opened.send(b"more")
        read_now.set()
        assert opened.receive().messages == [b"on its way"]
        assert isinstance(ending_of(opened), ConnectionLostError)


def ending_of(opened):
    while True:
        try:
            opened.receive()
        except SocketTimeoutError:
            continue
        except SocketError as ending:
            return ending
