"""A REST server on loopback that answers by a script, and remembers what it was asked."""

import json
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from app.kalshi.request_budget import BudgetLimits, Priority, RequestBudget
from app.kalshi.rest_client import RestClient
from app.kalshi.rest_transport import DEFAULT_TIMEOUTS, HttpSession, RestTransport, RetrySeconds

PREFIX = "/trade-api/v2"
PLENTY = BudgetLimits(tokens_per_second=1_000_000, capacity=1_000_000)
QUICK = RetrySeconds(first_seconds=0.001, longest_seconds=0.01)


class Reply(NamedTuple):
    status: int = 200
    body: object = None
    headers: Mapping = MappingProxyType({})
    after: threading.Event | None = None
    missing_bytes: int = 0
    hang_up: bool = False

    def content(self):
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Asked(NamedTuple):
    path: str
    query: list
    headers: dict
    port: int


class FakeExchange:
    """Gives the replies of its script in turn, the last one again and again; to a path of its own, always that one.

    A rule, if it has one, decides alone.
    """

    def __init__(self):
        self.asked = []
        self.script = []
        self.by_path = {}
        self.rule = None
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}{PREFIX}"

    def answers(self, *replies):
        self.script = list(replies)

    def reply_to(self, asked):
        with self._lock:
            self.asked.append(asked)
            if self.rule is not None:
                return self.rule(asked)
            if asked.path in self.by_path:
                return self.by_path[asked.path]
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    @contextmanager
    def running(self):
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def _handler(self):
        exchange = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10
            disable_nagle_algorithm = True

            def do_GET(self):
                parts = urlsplit(self.path)
                port = self.client_address[1]
                reply = exchange.reply_to(Asked(parts.path, parse_qsl(parts.query), dict(self.headers), port))
                if reply.after is not None:
                    reply.after.wait(120)
                self.close_connection = reply.hang_up or reply.missing_bytes > 0
                if not reply.hang_up:
                    self._send(reply)

            def _send(self, reply):
                content = reply.content()
                try:
                    self.send_response(reply.status)
                    self.send_header("Content-Length", str(len(content) + reply.missing_bytes))
                    for name, value in reply.headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)
                except ConnectionError:
                    # The client did not wait for it.
                    self.close_connection = True

            def log_message(self, *parts):
                """Not on the tests' output."""

        return Handler


@contextmanager
def transport_to(exchange, stopping=None, signer=None, backoff=QUICK, timeouts=DEFAULT_TIMEOUTS, budget=None):
    session = HttpSession(exchange.url, signer, timeouts)
    transport = RestTransport(session, budget or RequestBudget(PLENTY), stopping or threading.Event(), backoff)
    try:
        yield transport
    finally:
        transport.close()


@contextmanager
def client_of(exchange, patience_seconds=20, **options):
    with transport_to(exchange, **options) as transport:
        yield RestClient(transport, Priority.REPAIR, patience_seconds)
