"""The simulator's base: supervised greenlets, HTTP servers and the simulated clock."""

import logging
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import AsyncResult
from gevent.pool import Group
from gevent.pywsgi import WSGIHandler, WSGIServer

from app.runtime import logs


class Supervisor:
    """The owner of every greenlet: an error that one of them does not handle ends the whole process."""

    def __init__(self) -> None:
        self._greenlets = Group()
        self._outcome = AsyncResult()

    def spawn(self, function: Callable[..., object], *arguments: object) -> gevent.Greenlet:
        greenlet: gevent.Greenlet = self._greenlets.spawn(function, *arguments)
        greenlet.link_exception(lambda failed: self.fail(failed.exception))
        return greenlet

    def fail(self, error: BaseException) -> None:
        if not self._outcome.ready():
            self._outcome.set_exception(error)

    def finish(self) -> None:
        if not self._outcome.ready():
            self._outcome.set(None)

    def wait(self) -> None:
        """Wait until the simulator is finished. Raise the first unhandled error."""
        self._outcome.get()

    def kill(self) -> None:
        self._greenlets.kill()


Application = Callable[..., Any]


def http_server(address: tuple[str, int], application: Application, supervisor: Supervisor) -> WSGIServer:
    """Return a server without an access log; an error that the application does not handle ends the process."""

    class SimRequestHandler(WSGIHandler):
        def handle(self) -> None:
            try:
                super().handle()  # type: ignore[no-untyped-call]
            except OSError as error:
                # A client that disconnects early is no error of the simulator.
                logs.get(__name__).debug("connection lost", reason=str(error))

        def handle_error(self, kind: Any, value: BaseException, traceback: Any) -> None:  # noqa: ANN401
            if not isinstance(value, OSError):
                supervisor.fail(value)
            super().handle_error(kind, value, traceback)  # type: ignore[no-untyped-call]

    log = logging.getLogger(__name__)
    return WSGIServer(
        address, application, log=None, error_log=log, handler_class=SimRequestHandler, spawn=supervisor.spawn
    )


class Clock:
    """The exchange's own time, with a given start and speed."""

    def __init__(self, start_us: int, speed: float = 1.0, wall: Callable[[], int] = time.monotonic_ns) -> None:
        self._wall = wall
        self._speed = speed
        self._from_us = start_us
        self._since_ns: int | None = wall()
        self.start_us = start_us

    def now_us(self) -> int:
        if self._since_ns is None:
            return self._from_us
        return self._from_us + int((self._wall() - self._since_ns) / 1_000 * self._speed)

    def now_ms(self) -> int:
        return self.now_us() // 1_000

    def stop(self) -> None:
        """Freeze the time; go_on() continues from there."""
        self._from_us = self.now_us()
        self._since_ns = None

    def go_on(self) -> None:
        if self._since_ns is None:
            self._since_ns = self._wall()

    @property
    def is_running(self) -> bool:
        return self._since_ns is not None
