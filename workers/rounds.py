import gevent
import gevent.event


class Rounds:
    """When a loop makes its next round: after its interval, or as soon as somebody asks for one."""

    def __init__(self, interval_seconds: float, stopping: gevent.event.Event) -> None:
        self._interval_seconds = interval_seconds
        self._stopping = stopping
        self._asked = gevent.event.Event()

    def ask(self) -> None:
        """Never waits. While a round is being made, there will be another one after it."""
        self._asked.set()

    def wait(self) -> bool:
        """False: we are stopping."""
        gevent.wait([self._stopping, self._asked], self._interval_seconds, count=1)
        self._asked.clear()
        return not self._stopping.is_set()
