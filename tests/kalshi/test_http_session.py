import itertools
import socket
import threading
from contextlib import contextmanager

import pytest

from app.kalshi import rest_transport
from app.kalshi.errors import UnavailableError, UnexpectedAnswerError
from app.kalshi.rest_transport import HttpSession, Timeouts
from tests.kalshi.exchange import Reply


@contextmanager
def dripping_server(stop):
    """Answers one request with a body that comes byte by byte, for longer than any test waits."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                for _ in itertools.takewhile(lambda _: not stop.wait(0.02), range(500)):
                    connection.sendall(b" ")

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        stop.set()
        thread.join()


def test_an_answer_that_drips_is_given_up():
    stop = threading.Event()
    with dripping_server(stop) as url:
        session = HttpSession(url, None, Timeouts(answer_seconds=0.2))
        with pytest.raises(UnavailableError, match=r"more than 0.2 s"):
            session.get("/markets", {})
        stop.set()
        session.close()


def test_an_answer_without_end_is_not_kept(exchange, monkeypatch):
    monkeypatch.setattr(rest_transport, "MAX_ANSWER_BYTES", 1_000)
    exchange.answers(Reply(200, b" " * 10_000))
    session = HttpSession(exchange.url, None)
    with pytest.raises(UnexpectedAnswerError, match="larger than 1000 bytes"):
        session.get("/markets", {})
    session.close()
