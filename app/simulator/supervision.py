from collections.abc import Callable

import gevent
from gevent.event import AsyncResult
from gevent.pool import Group


class Supervisor:
    """Every greenlet is spawned through here: what one of them does not handle ends the whole process."""

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
        """Until it is finished; raises the first error that nobody handled."""
        self._outcome.get()

    def kill(self) -> None:
        self._greenlets.kill()
