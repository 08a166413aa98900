"""Clients that leave at any moment, or speak something else, harm nobody but themselves."""

import contextlib
import socket
import struct
import urllib.parse

import pytest

from tests.processes import wait_until
from tests.simulator.running import Client, open_socket


def address(simulator, what):
    parts = urllib.parse.urlsplit(simulator.where[what])
    return parts.hostname, parts.port


def leave_at_once(connection):
    """With a reset, as a process that is killed leaves."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.fixture
def unharmed(simulator):
    yield
    with simulator.connect() as connection:
        assert Client(connection).ask("list_subscriptions")["type"] == "ok"
    assert simulator.process.poll() is None


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize("what", ["websocket", "rest", "control"])
@pytest.mark.parametrize(
    "said", [b"", b"GET /trade-api/ws/v2 HTTP/1.1\r\nHost:", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\0" * 100]
)
def test_leaving_before_the_answer(simulator, what, said):
    for _ in range(5):
        with socket.create_connection(address(simulator, what)) as connection:
            connection.sendall(said)
            leave_at_once(connection)


@pytest.mark.usefixtures("unharmed")
def test_leaving_in_the_middle_of_the_stream(simulator):
    tickers = simulator.tickers(status="open")
    for _ in range(5):
        connection = open_socket(simulator)
        payload = b'{"id":1,"cmd":"subscribe","params":{"channels":["trade","ticker"]}}'
        connection.sendall(b"\x81\x80"[:1] + bytes([0x80 | len(payload)]) + bytes(4) + payload)
        connection.recv(10)
        leave_at_once(connection)
    assert tickers
    wait_until(lambda: not simulator.state()["connections"], what="no connections")


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize("said", [b"\x81\x05hello", b"\xff" * 50, b"\x89\xfe\x00\x80" + bytes(132)])
def test_speaking_something_else(simulator, said):
    with open_socket(simulator) as connection:
        connection.sendall(said)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while data := connection.recv(1_000):
                answer += data
    assert answer[:1] == b"\x88"
    assert int.from_bytes(answer[2:4], "big") == 1002


@pytest.mark.usefixtures("unharmed")
def test_a_head_without_end_is_refused(simulator):
    with socket.create_connection(address(simulator, "websocket")) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 10_000)
        assert b" 400 " in connection.recv(1_000)


@pytest.mark.usefixtures("unharmed")
def test_faults_meet_connections_that_are_just_leaving(simulator):
    for fault in ("reset", "close", "cut", "half_open"):
        for _ in range(5):
            leave_at_once(open_socket(simulator))
            simulator.inflict(fault)
    wait_until(lambda: not simulator.state()["connections"], what="no connections")
