"""Clients that are slow, many or both do not keep others from an answer."""

import http.client
import json
import signal
import socket
import threading
from contextlib import ExitStack, contextmanager, suppress

import pytest
import requests

from tests.ops.ops import running_ops
from tests.processes import running, wait_until

POST = b"POST / HTTP/1.1\r\nHost: here\r\n"
SERVER = """
from gevent import monkey
monkey.patch_all()
import json
from prometheus_client import REGISTRY
from app.runtime.http_server import BoundedServer
from workers.process.group import Group

BIG = b"x" * 50_000_000

def hang_ups(cause):
    return REGISTRY.get_sample_value("kalshi_ops_hang_ups_total", {{"cause": cause}}) or 0

def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/big":
        return [BIG]
    return [json.dumps({{cause: hang_ups(cause) for cause in ("slow", "crowded")}}).encode()]

group = Group()
server = BoundedServer(("127.0.0.1", 0), app, most_connections={most}, patience_seconds={patience_seconds})
server.take_port()
group.spawn(lambda: server.serve_until(group.stopping))
print(json.dumps(server.server_port), flush=True)
group.run_until_stopped()
"""


class Server:
    def __init__(self, process):
        self.process = process
        wait_until(lambda: process.lines)
        self.port = json.loads(process.lines[0])

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=120)

    def hang_ups(self, cause):
        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"http://127.0.0.1:{self.port}/", timeout=120).json()[cause]


@contextmanager
def serving(most=8, patience_seconds=1.5):
    with running("-c", SERVER.format(most=most, patience_seconds=patience_seconds)) as process:
        yield Server(process)


@pytest.fixture(scope="module")
def hasty():
    """A server with little patience."""
    with serving() as server:
        yield server


def is_closed(client, sends=b""):
    """Sends this and looks whether the other side has hung up."""
    try:
        client.sendall(sends)
        client.settimeout(0.05)
        return client.recv(1000) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def received_all(client):
    """Until the other side hangs up."""
    return b"".join(iter(lambda: client.recv(65_536), b""))


def test_clients_that_drip_their_requests_are_cut_off(hasty):
    beginnings = (b"GE", b"GET / HTTP/1.1\r\nX: ", POST + b"Content-Length: 50000\r\n\r\n")
    with ExitStack() as stack:
        clients = [stack.enter_context(hasty.connect()) for _ in beginnings]
        for client, beginning in zip(clients, beginnings, strict=True):
            client.sendall(beginning)
        wait_until(lambda: [is_closed(client, b"x") for client in clients] == [True, True, True])


def test_a_client_that_says_nothing_is_cut_off(hasty):
    with hasty.connect() as client:
        wait_until(lambda: is_closed(client))


def test_a_client_that_does_not_take_its_answer_is_cut_off(hasty):
    before = hasty.hang_ups("slow")
    with hasty.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET /big HTTP/1.1\r\nHost: here\r\n\r\n")
        wait_until(lambda: hasty.hang_ups("slow") > before)


def test_a_connection_serves_one_request_after_the_other(ops):
    connection = http.client.HTTPConnection(*ops.address)
    connection.connect()
    first = connection.sock
    for _ in range(3):
        connection.request("GET", "/health")
        assert json.load(connection.getresponse()) == {"status": "ok"}
        assert connection.sock is first
    connection.close()


def test_many_who_do_not_ask_make_room_for_one_who_does():
    """Half a head, half a body, a body that is too large: none of it is a request yet."""
    beginnings = (
        b"GET / HTTP/1.1\r\nX: ",
        POST + b"Content-Length: 100\r\n\r\nhalf",
        POST + b"Transfer-Encoding: chunked\r\n\r\n64\r\nhalf",
        POST + b"Content-Length: 100000000\r\n\r\nhalf",
        b"",
    )
    with serving(most=8, patience_seconds=600) as server, ExitStack() as stack:
        idle = []
        for number in range(100):
            idle.append(stack.enter_context(server.connect()))
            idle[-1].sendall(beginnings[number % len(beginnings)])
            if number % 20 == 19:
                assert server.hang_ups("crowded") >= number - 8
        assert is_closed(idle[0])
        assert not is_closed(idle[-1])


def test_many_who_do_not_take_their_answers_make_room_for_one_who_does():
    with serving(most=8, patience_seconds=600) as server, ExitStack() as stack:
        for number in range(40):
            client = stack.enter_context(server.connect())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(b"GET /big HTTP/1.1\r\nHost: here\r\n\r\n")
            if number % 10 == 9:
                assert server.hang_ups("crowded") >= number - 8


@pytest.mark.parametrize(
    ("begins", "goes_on"),
    [
        (b"", b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"a" * 8_000 + b"\r\nx\r\n"),
        (POST + b"Content-Length: 100000000000\r\n\r\n", b"x" * 1_000),
    ],
    ids=["requests", "chunks", "a body that is refused"],
)
def test_a_client_that_never_pauses_does_not_keep_others_waiting(begins, goes_on):
    """What it sent is always there to be read: whoever reads until nothing is left would never look at others."""
    with serving(most=8, patience_seconds=600) as server, ExitStack() as stack:
        for _ in range(2):
            busy = stack.enter_context(server.connect())
            stack.callback(hang_up, busy)
            busy.sendall(begins)
            threading.Thread(target=until_hung_up, args=(busy.sendall, 100 * goes_on), daemon=True).start()
            threading.Thread(target=until_hung_up, args=(busy.recv, 65_536), daemon=True).start()
        assert [server.hang_ups("crowded") for _ in range(3)] == [0, 0, 0]


def until_hung_up(action, argument):
    with suppress(OSError):
        while action(argument) != b"":
            pass


def hang_up(client):
    """Whether or not the other side has done so."""
    with suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)


def test_hundreds_of_idle_clients_neither_stop_the_health_check_nor_the_end_of_the_process():
    with running_ops() as ops, ExitStack() as stack:
        for _ in range(300):
            client = stack.enter_context(socket.create_connection(ops.address))
            client.sendall(b"GET /health HTTP/1.1\r\nX: ")
        assert ops.answer("/health") == (200, {"status": "ok"})
        ops.process.signal(signal.SIGTERM)
        assert ops.process.exit_code() == 0


@pytest.mark.parametrize("length", [b"Content-Length: 64001", b"Transfer-Encoding: chunked"])
def test_a_body_that_is_too_large_is_refused_to_whoever_sends_all_of_it(hasty, length):
    sent = b"x" * 64_001 if b"Length" in length else b"fa01\r\n" + b"x" * 64_001 + b"\r\n0\r\n\r\n"
    with hasty.connect() as client:
        client.sendall(POST + length + b"\r\n\r\n" + sent)
        answer = client.recv(1000)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"64,000 bytes" in answer


@pytest.mark.parametrize(
    "nonsense", [b"\x16\x03\x01\x02\x00\r\n", b"GET\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"x" * 9_000]
)
def test_nonsense_is_refused_and_the_next_client_is_served(hasty, nonsense):
    with hasty.connect() as client:
        client.sendall(nonsense)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1000)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 414")
    assert hasty.hang_ups("crowded") == 0
