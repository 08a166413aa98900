"""Requests that one server reads otherwise than another, so that what follows is taken for somebody else's: refused."""

import io
import socket

import pytest

from app.runtime.http_server import (
    MOST_HEAD_BYTES,
    MOST_HEADERS,
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
