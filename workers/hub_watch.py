import time
from collections.abc import Iterator

from app import logs
from app.metrics.process import HUB_LAG
from app.stopping import Stopping

log = logs.get(__name__)

INTERVAL_SECONDS = 0.05
WORTH_A_WARNING_SECONDS = 1


class HubWatch:
    """Measures how late greenlets that are due get their turn."""

    def __init__(self, stopping: Stopping) -> None:
        self._stopping = stopping

    def run(self) -> None:
        started = time.monotonic()
        while not self._stopping.wait(INTERVAL_SECONDS):
            woken = time.monotonic()
            self.step(woken - started - INTERVAL_SECONDS)
            started = woken

    def step(self, late_seconds: float) -> None:
        for lag_seconds in lags(late_seconds):
            HUB_LAG.observe(lag_seconds)
        if late_seconds > WORTH_A_WARNING_SECONDS:
            log.warning("greenlets had to wait", seconds=round(late_seconds, 2))


def lags(late_seconds: float) -> Iterator[float]:
    """What would have been measured at every interval: else a long stall would count once, and quantiles hide it."""
    yield max(late_seconds, 0)
    while (late_seconds := late_seconds - INTERVAL_SECONDS) > 0:
        yield late_seconds
