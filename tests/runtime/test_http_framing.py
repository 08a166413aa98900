"""Requests that one server reads otherwise than another, so that what follows is taken for somebody else's: refused."""

import io
import socket

import pytest

from app.runtime.http_server import (
    MOST_HEAD_BYTES,
    MOST_HEADERS,
    chunked_body,
    header_lines,
    problem_of_headers,
    problem_of_request_line,
)
from tests.runtime.test_http_server import received_all

HOST = "Host: localhost\r\n"
REFUSED = {
    "length and chunks": HOST + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    "two lengths": HOST + "Content-Length: 4\r\nContent-Length: 5\r\n",
    "one length twice": HOST + "Content-Length: 4\r\nContent-Length: 4\r\n",
    "lengths in a list": HOST + "Content-Length: 4, 4\r\n",
    "a signed length": HOST + "Content-Length: +4\r\n",
    "a length with an underscore": HOST + "Content-Length: 1_0\r\n",
    "a length in other digits": HOST + "Content-Length: \u00b2\r\n",
    "a hexadecimal length": HOST + "Content-Length: 0x4\r\n",
    "an empty length": HOST + "Content-Length:\r\n",
    "an unknown encoding": HOST + "Transfer-Encoding: xchunked\r\n",
    "chunks and more": HOST + "Transfer-Encoding: gzip, chunked\r\n",
    "chunks twice": HOST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "an unknown encoding with a length": HOST + "Transfer-Encoding: identity\r\nContent-Length: 4\r\n",
    "a space before the colon": HOST + "Transfer-Encoding : chunked\r\n",
    "a name with a space": HOST + "X Y: z\r\n",
    "a line that goes on": HOST + "X: y\r\n Transfer-Encoding: chunked\r\n",
    "a line without a colon": HOST + "nonsense\r\n",
    "a line without a name": HOST + ": x\r\n",
    "a bare line end": HOST + "X: y\nContent-Length: 4\r\n",
    "a bare return": HOST + "X: y\rContent-Length: 4\r\n",
    "a zero": HOST + "X: y\x00\r\n",
    "no host": "X: y\r\n",
    "two hosts": HOST + "Host: evil.example\r\n",
    "a host with a space": "Host: a b\r\n",
    "a host with a name before it": "Host: user@localhost\r\n",
    "a host with a path": "Host: localhost/admin\r\n",
}


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED)
def test_a_head_that_leaves_a_doubt_is_refused_and_nothing_after_it_is_read(ops, headers):
    smuggled = b"0\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(ops.address, timeout=120) as client:
        client.sendall(b"POST /health HTTP/1.1\r\n" + headers.encode("latin-1") + b"\r\n" + smuggled)
        answer = received_all(client)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "line",
    [
        *("GET /\r\n", "GET / HTTP/0.9\r\n", "GET / HTTP/2.0\r\n", "GET / HTTP/1.1\n", "GET  / HTTP/1.1\r\n"),
        *(" GET / HTTP/1.1\r\n", "GET / HTTP/1.1 \r\n", "GET\t/ HTTP/1.1\r\n", "G(T / HTTP/1.1\r\n", "GET /\x0b HTTP/1.1\r\n"),
        *("GET / http/1.1\r\n", "GET / HTTP/1.10\r\n", "GET / HTTP/+1.1\r\n"),
    ],
)  # fmt: skip
def test_a_first_line_that_is_none_is_refused(line):
    assert problem_of_request_line(line) is not None


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        ("HTTP/1.1", ["Host: localhost:8000\r\n", "Content-Length: 4\r\n", "X:\t y z \r\n", "X-Empty:\r\n"]),
        ("HTTP/1.1", ["host: [::1]:8000\r\n", "Transfer-Encoding: Chunked\r\n", "X: \xfc\r\n"]),
        ("HTTP/1.0", ["Connection: keep-alive\r\n"]),
    ],
)
def test_what_is_plain_is_taken(version, headers):
    assert problem_of_request_line("GET /markets?text=a%20b HTTP/1.1\r\n") is None
    assert problem_of_headers(version, headers) is None


def test_chunks_are_unknown_to_the_older_protocol():
    assert problem_of_headers("HTTP/1.0", ["Transfer-Encoding: chunked\r\n"]) is not None


def test_a_head_has_an_end():
    assert header_lines(io.BytesIO(b"A: b\r\nC: d\r\n\r\nbody")) == ["A: b\r\n", "C: d\r\n"]
    for long in (b"A: b\r\n" * (MOST_HEADERS + 1) + b"\r\n", b"A: " + b"b" * MOST_HEAD_BYTES + b"\r\n\r\n"):
        with pytest.raises(ValueError, match="too long"):
            header_lines(io.BytesIO(long))
    with pytest.raises(ConnectionError):
        header_lines(io.BytesIO(b"A: b\r\n"))


CHUNKS = {
    "a line end in an extension": b"2;a\nb\r\nxy\r\n0\r\n\r\n",
    "a return in an extension": b"2;a\rb\r\nxy\r\n0\r\n\r\n",
    "a bare line end after the size": b"2\nxy\r\n0\r\n\r\n",
    "a bare line end after the data": b"2\r\nxy\n0\r\n\r\n",
    "more data than said": b"2\r\nxyz\r\n0\r\n\r\n",
    "a prefix": b"0x2\r\nxy\r\n0\r\n\r\n",
    "a sign": b"+2\r\nxy\r\n0\r\n\r\n",
    "an underscore": b"0_2\r\nxy\r\n0\r\n\r\n",
    "a space before the size": b" 2\r\nxy\r\n0\r\n\r\n",
    "no size": b"\r\nxy\r\n0\r\n\r\n",
    "a size beyond counting": b"f" * 17 + b"\r\nxy\r\n0\r\n\r\n",
    "an extension without end": b"2;" + b"a" * 10_000 + b"\r\nxy\r\n0\r\n\r\n",
    "a request for a trailer": b"0\r\nGET /health HTTP/1.1\r\n\r\n",
    "a line end in a trailer": b"0\r\nA: b\nC: d\r\n\r\n",
}


@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS)
def test_chunks_that_leave_a_doubt_are_refused_and_nothing_after_them_is_read(ops, chunks):
    head = b"POST /health HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(ops.address, timeout=120) as client:
        client.sendall(head + chunks + b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = received_all(client)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1


def test_plain_chunks_are_taken():
    sent = io.BytesIO(b'2\r\nab\r\n0A ; x="y"\r\n0123456789\r\n000\r\nX-Sum: 1\r\n\r\nGET')
    assert (chunked_body(sent, 12), sent.read()) == (b"ab0123456789", b"GET")


def test_chunks_have_an_end():
    assert chunked_body(io.BytesIO(b"2\r\nab\r\nffffff\r\n"), 100) is None
    for early in (b"", b"2\r\na", b"2\r\nab\r\n", b"0\r\nA: b\r\n"):
        with pytest.raises(ConnectionError):
            chunked_body(io.BytesIO(early), 100)
    with pytest.raises(ValueError, match="too long"):
        chunked_body(io.BytesIO(b"0\r\n" + b"A: b\r\n" * (MOST_HEADERS + 1) + b"\r\n"), 100)


def test_a_client_that_asks_first_is_told_to_go_on(ops):
    head = b"POST /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\n"
    for length, body in ((b"Content-Length: 2", b"ab"), (b"Transfer-Encoding: chunked", b"2\r\nab\r\n0\r\n\r\n")):
        with socket.create_connection(ops.address, timeout=120) as client:
            client.sendall(head + length + b"\r\n\r\n")
            assert client.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(body)
            assert received_all(client).startswith(b"HTTP/1.1 405 ")
