import signal
from collections.abc import Callable

import gevent
import gevent.event
import gevent.pool

from app import logs

log = logs.get(__name__)


class Group:
    """Greenlets of a process. SIGTERM and SIGINT ask them to stop; an error that one does not handle ends all, those of
    other groups with the same stopping too."""

    def __init__(self, stopping: gevent.event.Event | None = None) -> None:
        self.stopping = stopping or gevent.event.Event()
        self._greenlets = gevent.pool.Group()
        self._failure: BaseException | None = None

    def spawn(self, run: Callable[[], None]) -> gevent.Greenlet:
        greenlet = gevent.Greenlet(run)
        greenlet.link_exception(self._failed)
        self._greenlets.add(greenlet)
        greenlet.start()
        return greenlet

    def run_until_stopped(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            gevent.signal_handler(number, self.stopping.set)
        self.join()

    def join(self) -> None:
        """Returns when all have ended; raises what one of them did not handle."""
        self._greenlets.join()
        if self._failure is not None:
            raise self._failure

    def _failed(self, greenlet: gevent.Greenlet) -> None:
        if self._failure is None:
            self._failure = greenlet.exception
        self.stopping.set()
