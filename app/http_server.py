"""A small HTTP server inside a process that has more important work: whatever clients do, it asks little of it."""

import contextlib
import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import gevent
from gevent.pool import Pool
from gevent.pywsgi import LoggingLogAdapter, WSGIHandler, WSGIServer

from app.metrics.process import HANG_UPS
from app.stopping import Stopping

WSGIApp = Callable[..., Iterable[bytes]]

MOST_CONNECTIONS = 64
PATIENCE_SECONDS = 20.0
FINISH_SECONDS = 1

requests_log = logging.getLogger("app.http_server")


class _Handler(WSGIHandler):
    """One connection, and one request after the other."""

    server: "BoundedServer"

    def handle(self) -> None:
        self.server.make_room()
        super().handle()

    def handle_one_request(self) -> object:
        with self.server.patience(self.socket):
            return super().handle_one_request()

    def read_request(self, raw_requestline: str) -> bool:
        complete: bool = super().read_request(raw_requestline)
        self.server.has_asked(self.socket)
        return complete

    def handle_error(self, t: Any, v: Any, tb: Any) -> None:  # noqa: ANN401 - as pywsgi calls it
        requests_log.error("a connection failed", exc_info=(t, v, tb))
        self._send_error_response_if_possible(500)


class BoundedServer(WSGIServer):
    """Serves so many connections at once. One more, and the one that has not asked for the longest time must go."""

    def __init__(
        self,
        address: tuple[str, int],
        app: WSGIApp,
        most_connections: int = MOST_CONNECTIONS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._connections = Pool(most_connections)
        super().__init__(
            address,
            app,
            spawn=self._connections,
            handler_class=_Handler,
            log=LoggingLogAdapter(requests_log, logging.DEBUG),
            error_log=LoggingLogAdapter(requests_log, logging.WARNING),
        )
        self._patience_seconds = patience_seconds
        self._not_asked: dict[socket.socket, None] = {}  # the oldest first
        self._timers: dict[socket.socket, Any] = {}

    @property
    def url(self) -> str:
        return f"http://{self.server_host}:{self.server_port}"

    def take_port(self) -> None:
        """From now on clients can connect, though nobody answers yet."""
        self.init_socket()
        # Heads and bodies are sent one after the other: with Nagle's algorithm a body waits for the head's receipt.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def serve_until(self, stopping: Stopping) -> None:
        self.start()
        stopping.wait()
        self.stop(FINISH_SECONDS)

    def make_room(self) -> None:
        if self._connections.full() and self._not_asked:
            self._hang_up(next(iter(self._not_asked)), "crowded")

    @contextlib.contextmanager
    def patience(self, client: socket.socket) -> Iterator[None]:
        """With one request and its answer."""
        self._not_asked[client] = None
        self._timers[client] = timer = gevent.get_hub().loop.timer(self._patience_seconds)
        timer.start(self._hang_up, client, "slow")
        try:
            yield
        finally:
            timer.close()
            del self._timers[client]
            self._not_asked.pop(client, None)

    def has_asked(self, client: socket.socket) -> None:
        """Its answer has as long again."""
        self._not_asked.pop(client, None)
        self._timers[client].stop()
        self._timers[client].start(self._hang_up, client, "slow")

    def _hang_up(self, client: socket.socket, cause: str) -> None:
        """Whoever reads from it or writes to it finds it closed by the other side."""
        HANG_UPS.labels(cause).inc()
        self._not_asked.pop(client, None)
        with contextlib.suppress(OSError):  # it has gone by itself
            client.shutdown(socket.SHUT_RDWR)
