"""An event that all greenlets notice. It stands alone because both the workers and the simulator need it.


gevent's own can forget a waiter: one that begins to wait on an event that is already set, while those who waited before
are still to be told, queues behind them; if the wait of one of these then ends by its timeout, gevent drops the whole
queue, and its timeouts with it. Where many greenlets wait for short times, as for `stopping`, one of them then waits
for ever, and with it the process that should end.
"""

from gevent.event import Event as GeventEvent


class Event(GeventEvent):
    def wait(self, timeout: float | None = None) -> bool:
        """Return whether the event is set, now or within the timeout. Of an event that is set nobody waits for its
        turn."""
        return self.is_set() or bool(super().wait(timeout))  # type: ignore[no-untyped-call]
