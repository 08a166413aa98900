import select
import socket
import ssl

import pytest

from app.kalshi.errors import ConnectError, HandshakeRefusedError, SocketTimeoutError
from app.kalshi.websocket import connect
from tests.kalshi.sockets.scripted_server import DEADLINE_SECONDS, Authority, accept, connected, listening
from tests.kalshi.sockets.server_frames import server_frame

HEADERS = {"KALSHI-ACCESS-KEY": "key"}


def answering(text):
    def handle(connection):
        while not connection.recv(1 << 16).endswith(b"\r\n\r\n"):
            assert text
        connection.sendall(text.encode())

    return handle


def test_the_headers_and_the_path_reach_the_server(transport):
    requests = []

    def script(peer):
        requests.append((peer.request_line, peer.headers))
        peer.send(server_frame(b"hello"))

    with connected(script, transport) as opened:
        assert opened.receive().messages == [b"hello"]
        assert opened._connection.gettimeout() == DEADLINE_SECONDS
    [(line, headers)] = requests
    assert line == "GET /trade-api/ws/v2 HTTP/1.1"
    assert headers["KALSHI-ACCESS-KEY"] == "key"
    # No compression is offered, and no page of a browser asks.
    assert not {"Sec-WebSocket-Extensions", "Origin"} & set(headers)


def test_frames_right_behind_the_handshake_are_not_lost():
    def handle(connection):
        accept(connection, more_headers="\r\n" + server_frame(b"at once").decode("latin-1"), ending="")

    with listening(handle) as url, connect(url, HEADERS, 5) as opened:
        assert opened.receive().messages == [b"at once"]


def test_a_refusal_tells_the_status():
    body = '{"error":{"code":"authentication_error"}}'
    answer = f"HTTP/1.1 401 Unauthorized\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    with (
        listening(answering(answer)) as url,
        pytest.raises(HandshakeRefusedError, match=r"401.*authentication_error") as caught,
    ):
        connect(url, HEADERS, 5)
    assert caught.value.status == 401


@pytest.mark.parametrize(
    "answer",
    [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "",
    ],
    ids=["wrong proof", "wrong length", "not HTTP", "nothing"],
)
def test_a_server_that_does_not_upgrade_is_no_connection(answer):
    with listening(answering(answer or "\r\n")) as url, pytest.raises(ConnectError):
        connect(url, HEADERS, 5)


def test_a_redirect_is_not_followed_with_our_signature():
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        location = f"ws://127.0.0.1:{elsewhere.getsockname()[1]}/"
        answer = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n"
        with listening(answering(answer)) as url, pytest.raises(ConnectError):
            connect(url, HEADERS, 0.5)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()


@pytest.mark.parametrize("header", ["Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Protocol: chat"])
def test_a_server_that_chooses_what_was_not_offered_is_refused(header):
    with (
        listening(lambda connection: accept(connection, more_headers=f"{header}\r\n")) as url,
        pytest.raises(ConnectError, match="was not requested"),
    ):
        connect(url, HEADERS, 5)


def test_a_server_that_never_answers_times_out():
    def handle(connection):
        while connection.recv(1 << 16):
            assert connection

    with listening(handle) as url, pytest.raises(SocketTimeoutError):
        connect(url, HEADERS, 0.1)


def test_a_server_that_drips_times_out_as_well():
    def handle(connection):
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nX: ")
        with pytest.raises(ConnectionError):
            drip(connection)

    def drip(connection):
        while True:
            connection.sendall(b"x")
            # Half of our patience for each byte, which a timeout of every read would wait for.
            select.select([], [], [], 0.05)

    with listening(handle) as url, pytest.raises(SocketTimeoutError):
        connect(url, HEADERS, 0.1)


@pytest.mark.parametrize(
    "answer", ["HTTP/1.1 101 Switching\r\nX: ", "HTTP/1.1 500 Oops\r\nContent-Length: 1000000\r\n\r\n"]
)
def test_an_answer_without_end_is_refused(answer):
    with (
        listening(answering(answer + "x" * 100_000)) as url,
        pytest.raises(ConnectError, match="more than 65536 bytes"),
    ):
        connect(url, HEADERS, 5)


def test_a_port_that_nobody_listens_on_is_no_connection():
    with socket.create_server(("127.0.0.1", 0)) as closed_soon:
        port = closed_soon.getsockname()[1]
    with pytest.raises(ConnectError, match=f"localhost:{port}"):
        connect(f"ws://localhost:{port}/", HEADERS, 5)


@pytest.mark.parametrize("url", ["http://localhost/", "ws://", "localhost:80", "ws://localhost:port/"])
def test_what_is_no_address_is_said_so(url):
    with pytest.raises(ConnectError, match="not a WebSocket URL"):
        connect(url, HEADERS, 5)


@pytest.mark.parametrize("certificate", ["another authority's", "another host's"])
def test_a_server_that_cannot_prove_who_it_is_gets_no_signature(authority, certificate):
    seen = []
    another = Authority() if certificate == "another authority's" else authority
    context = another.server_context("localhost" if another is not authority else "exchange.example")
    client_context = authority.client_context()
    with listening(refused_handshake(context, seen)) as url, pytest.raises(ConnectError, match="CERTIFICATE"):
        connect(url.replace("ws:", "wss:"), HEADERS, 5, client_context)
    assert seen == ["refused"]


def refused_handshake(context, seen):
    def handle(connection):
        with pytest.raises(ssl.SSLError), context.wrap_socket(connection.dup(), server_side=True):
            seen.append("taken")
        seen.append("refused")

    return handle


def test_connecting_leaves_the_shared_context_as_it_was(authority):
    context = authority.client_context()
    before = (context.cert_store_stats(), context.verify_mode, context.check_hostname)
    with listening(accept, authority.server_context()) as url, connect(url, HEADERS, 5, context):
        assert (context.cert_store_stats(), context.verify_mode, context.check_hostname) == before
