from app import logs
from app.heartbeats import Heartbeats
from app.stopping import Stopping
from app.systemd import Notifier

log = logs.get(__name__)

TURNS_PER_LIMIT = 3


class Watchdog:
    """Feeds systemd's watchdog as long as every loop ran lately; else systemd starts the process anew."""

    def __init__(self, notifier: Notifier, heartbeats: Heartbeats, stopping: Stopping) -> None:
        self._notifier = notifier
        self._heartbeats = heartbeats
        self._stopping = stopping

    def run(self) -> None:
        if self._notifier.watchdog_seconds is None:
            return
        self.step()
        while not self._stopping.wait(self._notifier.watchdog_seconds / TURNS_PER_LIMIT):
            self.step()

    def step(self) -> None:
        if late := self._heartbeats.late():
            log.error("the watchdog is not fed", loops=late)
        else:
            self._notifier.feed_watchdog()
