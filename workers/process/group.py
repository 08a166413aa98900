"""Supervision: a group of greenlets that fail together, and components that survive a refused key.

In: the `run` of every worker. Out: one `stopping` event for all, and the first unhandled error, raised by `join`.
"""

import signal
from collections.abc import Callable

import gevent
import gevent.pool

from app.kalshi.errors import AccessDeniedError, RestError
from app.metrics.gatherer import FAILED_ROUNDS
from app.metrics.process import COMPONENT_HALTED
from app.runtime import logs
from app.runtime.backoff import Backoff
from app.runtime.clock import steady_us
from app.runtime.events import Event
from app.runtime.health import StoppedError, Stopping

log = logs.get(__name__)


class Group:
    """Greenlets of a process. SIGTERM and SIGINT set `stopping`; so does the first unhandled error of a greenlet.

    Several groups may share a `stopping` event: then an error in one stops all of them.
    """

    def __init__(self, stopping: Event | None = None) -> None:
        self.stopping = stopping or Event()
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
        """Return when all greenlets have ended. Raise the first error that one of them did not handle."""
        self._greenlets.join()
        if self._failure is not None:
            raise self._failure

    def _failed(self, greenlet: gevent.Greenlet) -> None:
        if self._failure is None:
            self._failure = greenlet.exception
        self.stopping.set()


FIRST_DENIED_SECONDS, DENIED_SECONDS = 5.0, 300.0


class Component:
    """A part of the process that survives being refused access.

    When the exchange refuses the key, the component halts, raises its alarm, and retries, first after seconds and
    in the end every five minutes: the key may be revoked, or a proxy may fail for a while. The rest of the process
    continues.
    """

    def __init__(self, name: str, stopping: Stopping) -> None:
        self.name = name
        self.halted_because: str | None = None
        self._stopping = stopping
        self._backoff = Backoff(FIRST_DENIED_SECONDS, DENIED_SECONDS, jitter=0.5)
        COMPONENT_HALTED.labels(name).set(0)

    def why_not_ready(self) -> str | None:
        return (
            self.halted_because
            and f"{self.name} halted, retrying every five minutes at the latest: {self.halted_because}"
        )

    def run(self, work: Callable[[], None]) -> None:
        """Run `work`; after a refused access, run it again from its beginning. Return when stopping."""
        try:
            while not self._is_done(work):
                self._stopping.wait(self._backoff.failed_at(steady_us()))
        except StoppedError:
            log.info("component stopped", component=self.name)

    def tries(self, action: Callable[[], None]) -> bool:
        """Run one action. Return False if REST failed; the caller repeats it in its next round."""
        try:
            action()
        except AccessDeniedError:
            raise
        except RestError as error:
            FAILED_ROUNDS.labels(self.name).inc()
            log.error("round failed: retrying", component=self.name, error=str(error))  # noqa: TRY400
            return False
        self.works()
        return True

    def works(self) -> None:
        """Note that the exchange has answered: the component is no longer halted."""
        if self.halted_because is not None:
            self.halted_because = None
            self._backoff.succeeded()
            COMPONENT_HALTED.labels(self.name).set(0)
            log.info("component resumed: the exchange grants access again", component=self.name)

    def _is_done(self, work: Callable[[], None]) -> bool:
        if self._stopping.is_set():
            return True
        try:
            work()
        except AccessDeniedError as error:
            self.halted_because = str(error)
            COMPONENT_HALTED.labels(self.name).set(1)
            log.error("component halted: access refused by the exchange", component=self.name, error=str(error))  # noqa: TRY400
            return False
        return True


class Rounds:
    """The timer of a loop: the next round is due after the interval, or as soon as one is requested."""

    def __init__(self, interval_seconds: float, stopping: Event) -> None:
        self._interval_seconds = interval_seconds
        self._stopping = stopping
        self._asked = Event()

    def ask(self) -> None:
        """Request a round without waiting. If one is running, another follows it."""
        self._asked.set()

    def wait(self) -> bool:
        """Wait for the next round. Return False if the process is stopping."""
        gevent.wait([self._stopping, self._asked], self._interval_seconds, count=1)
        self._asked.clear()
        return not self._stopping.is_set()
