import threading
import time
from collections.abc import Sequence

from app.demonstration.chaos import Deed
from app.demonstration.figures import look, shown
from app.demonstration.platform import Platform
from app.demonstration.screen import Screen

SHOW_SECONDS = 1.0


def watch(
    platform: Platform, screen: Screen, stopping: threading.Event, seconds: float | None, deeds: Sequence[Deed]
) -> None:
    """Shows what goes on and does what is planned, until the time is over or somebody wants it to end."""
    _tell_where(platform, screen)
    started = time.monotonic()
    waiting = list(deeds)
    before = look(platform, time.time())
    while not stopping.wait(SHOW_SECONDS):
        passed_seconds = time.monotonic() - started
        while waiting and waiting[0].at_seconds <= passed_seconds:
            deed = waiting.pop(0)
            screen.tell(f"{passed_seconds:5.1f} s  {deed.what}")
            deed.do()
        platform.check()
        now = look(platform, time.time())
        screen.show(shown(before, now))
        before = now
        if seconds is not None and passed_seconds >= seconds and not waiting:
            return
    if waiting and waiting[0].repairs:
        waiting[0].do()


def _tell_where(platform: Platform, screen: Screen) -> None:
    screen.tell(f"Status page: {platform.admin_url}/")
    for name, recorder in platform.recorders.items():
        screen.tell(f"Gatherer {name}: {recorder.process.url}/admin/connections and /metrics")
    screen.tell(f"Deduplicator: {platform.deduplicator.url}/metrics; exporter: {platform.exporter.url}/metrics")
    screen.tell("Ctrl-C ends it.")
