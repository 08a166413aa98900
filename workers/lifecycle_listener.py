import gevent
import gevent.queue

from app.kalshi.messages import decode
from app.kalshi.records import LIFECYCLE_MESSAGES, ComboLifecycle
from app.metrics.registry import ANNOUNCEMENTS
from app.registry.announcement import Announcement, announcement_of
from app.registry.intake import Intake
from app.registry.rereads import Rereads
from app.stopping import Stopping
from workers.component import Component

LOOK_UP_SECONDS = 1
FRAMES_AT_ONCE = 50


class LifecycleListener:
    """Follows what the exchange says of markets and events. Two connections carry it, so it comes twice: the second
    time it changes nothing."""

    def __init__(self, intake: Intake, markets: Rereads, events: Rereads, stopping: Stopping, *, combos: bool) -> None:
        self.component = Component("lifecycle_listener", stopping)
        self.source: gevent.queue.Queue | None = None
        self._intake = intake
        self._markets = markets
        self._events = events
        self._stopping = stopping
        self._combos = combos

    def run(self) -> None:
        self.component.run(self._loop)

    def step(self, source: gevent.queue.Queue) -> bool:
        """Whether there may be more."""
        try:
            self.hear(source.get(timeout=LOOK_UP_SECONDS))
            for _ in range(FRAMES_AT_ONCE - 1):
                self.hear(source.get(block=False))
        except gevent.queue.Empty:
            return False
        return True

    def hear(self, frame: bytes) -> None:
        message = decode(frame)
        if not isinstance(message, LIFECYCLE_MESSAGES) or (isinstance(message, ComboLifecycle) and not self._combos):
            return
        ANNOUNCEMENTS.inc()
        told = announcement_of(message)
        if told is not None:
            self._follow(told)

    def _follow(self, told: Announcement) -> None:
        if told.market_ticker:
            self._intake.tell(told)
            self._markets.want(told.market_ticker)
        event_ticker = told.event_ticker or told.additional_metadata.event_ticker
        if event_ticker:
            self._events.want(event_ticker)

    def _loop(self) -> None:
        while not self._stopping.is_set():
            if self.source is None:
                self._stopping.wait(LOOK_UP_SECONDS)
            elif self.step(self.source):
                gevent.sleep(0)
