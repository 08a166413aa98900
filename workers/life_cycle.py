from collections.abc import Sequence

from app import logs
from app.heartbeats import Heartbeats
from app.readiness import Readiness, why_not_ready
from app.stopping import Stopping
from app.systemd import Notifier

log = logs.get(__name__)

INTERVAL_SECONDS = 1
# The first synchronisation takes minutes, and a database that is down takes as long as it takes: a process whose
# loops run has not failed to start.
LONGER_SECONDS = 60


class LifeCycle:
    """Tells systemd and the log when the process is ready, why not, and when it stops."""

    def __init__(
        self, notifier: Notifier, readiness: Sequence[Readiness], heartbeats: Heartbeats, stopping: Stopping
    ) -> None:
        self._notifier = notifier
        self._readiness = readiness
        self._heartbeats = heartbeats
        self._stopping = stopping
        self._has_started = False
        self._told: list[str] | None = None

    def run(self) -> None:
        self.step()
        while not self._stopping.wait(INTERVAL_SECONDS):
            self.step()
        self._notifier.stopping()
        log.info("stopping")

    def step(self) -> None:
        reasons = why_not_ready(self._readiness)
        if reasons != self._told:
            self._tell(reasons)
            self._told = reasons
        if not self._has_started and not self._heartbeats.late():
            self._start(reasons)

    def _tell(self, reasons: list[str]) -> None:
        self._notifier.status(" ".join(reasons) or "Ready.")
        if reasons:
            log.warning("not ready", reasons=reasons)
        else:
            log.info("ready")

    def _start(self, reasons: list[str]) -> None:
        if reasons:
            self._notifier.needs_longer(LONGER_SECONDS)
        else:
            self._notifier.ready()
            self._has_started = True
