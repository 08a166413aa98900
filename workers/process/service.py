"""The workers that show how a process fares: the ops port, systemd's notifications and watchdog, and the hub's lag.

In: readiness functions and heartbeats of the loops. Out: HTTP answers, sd_notify messages, metrics and log lines.
"""

import os
import socket
import time
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Protocol

from app.errors import OperatorError
from app.metrics.process import HUB_LAG
from app.ops.application import create_ops_app
from app.ops.live import LiveState
from app.runtime import logs
from app.runtime.health import Heartbeats, Readiness, Stopping, WatchedStopping, why_not_ready
from app.runtime.http_server import BoundedServer, WSGIApp
from app.settings import Settings
from workers.process.loop import Loop

log = logs.get(__name__)


class OpsServer:
    """The HTTP server on the ops port.

    It binds the port when constructed, so that a process without one fails at its start.
    """

    def __init__(self, address: str, app: WSGIApp, stopping: Stopping) -> None:
        host, _, port = address.rpartition(":")
        self._stopping = stopping
        self._server = BoundedServer((host, int(port)), app)
        try:
            self._server.take_port()
        except (OSError, OverflowError) as error:
            raise OperatorError(
                "The ops port cannot be opened.", f"{address}: {error}", "set KALSHI_OPS_ADDRESS to another address."
            ) from error

    def run(self) -> None:
        log.info("ops port listening", url=self._server.url)
        self._server.serve_until(self._stopping)


HUB_INTERVAL_SECONDS = 0.05
WORTH_A_WARNING_SECONDS = 1


class HubWatch:
    """Measure how late greenlets run that are due."""

    def __init__(self, stopping: Stopping) -> None:
        self._loop = Loop(self._look, HUB_INTERVAL_SECONDS, stopping, first_seconds=HUB_INTERVAL_SECONDS)
        self._woken_seconds = time.monotonic()

    def run(self) -> None:
        self._woken_seconds = time.monotonic()
        self._loop.run()

    def _look(self) -> None:
        before_seconds, self._woken_seconds = self._woken_seconds, time.monotonic()
        self.step(self._woken_seconds - before_seconds - HUB_INTERVAL_SECONDS)

    def step(self, late_seconds: float) -> None:
        for lag_seconds in lags(late_seconds):
            HUB_LAG.observe(lag_seconds)
        if late_seconds > WORTH_A_WARNING_SECONDS:
            log.warning("event loop stalled", seconds=round(late_seconds, 2))


def lags(late_seconds: float) -> Iterator[float]:
    """Yield the lag that each interval within a stall would have measured.

    A single observation would count a long stall once, and quantiles would hide it.
    """
    yield max(late_seconds, 0)
    while (late_seconds := late_seconds - HUB_INTERVAL_SECONDS) > 0:
        yield late_seconds


# Notifications to systemd (man sd_notify), sent only if it set an address.

MICROSECONDS = 1_000_000
SEND_SECONDS = 1


class Notifier:
    """Sender of notifications to systemd. Without an address it sends nothing, and no watchdog is fed."""

    def __init__(self, address: str | None = None, watchdog_seconds: float | None = None) -> None:
        # Linux writes an abstract socket's name with a leading zero byte, the environment variable with an @.
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self.watchdog_seconds = watchdog_seconds

    def ready(self) -> None:
        self._tell("READY=1")

    def status(self, text: str) -> None:
        self._tell("STATUS=" + " ".join(text.split()))

    def needs_longer(self, seconds: int) -> None:
        """Extend the timeout for starting or stopping to this many seconds from now, beyond what the unit allows."""
        self._tell(f"EXTEND_TIMEOUT_USEC={seconds * MICROSECONDS}")

    def feed_watchdog(self) -> None:
        self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def _tell(self, line: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.settimeout(SEND_SECONDS)
                channel.connect(self._address)
                channel.send(line.encode())
        except OSError as error:
            # systemd acts on missing notifications by its own rules; recording must not end because of them.
            log.warning("systemd notification failed", line=line, error=str(error))


def notifier_from(environment: MutableMapping[str, str] = os.environ) -> Notifier:
    """Return the notifier that systemd configured.

    Its variables are removed: a child process must not notify for this one.
    """
    address = environment.pop("NOTIFY_SOCKET", None)
    watchdog_us = environment.pop("WATCHDOG_USEC", None)
    watchdog_pid = environment.pop("WATCHDOG_PID", None)
    is_meant = watchdog_pid is None or watchdog_pid == str(os.getpid())
    return Notifier(address, int(watchdog_us) / MICROSECONDS if watchdog_us and is_meant else None)


LOOK_SECONDS = 1
# The first synchronisation takes minutes, and a database may be down for any time: a process whose loops run has not
# failed to start.
LONGER_SECONDS = 60


class LifeCycle:
    """Report to systemd and to the log when the process is ready, why it is not, and when it stops."""

    def __init__(
        self, notifier: Notifier, readiness: Sequence[Readiness], heartbeats: Heartbeats, stopping: Stopping
    ) -> None:
        self._notifier = notifier
        self._readiness = readiness
        self._heartbeats = heartbeats
        self._loop = Loop(self.step, LOOK_SECONDS, stopping)
        self._has_started = False
        self._told: list[str] | None = None

    def run(self) -> None:
        self._loop.run()
        self._notifier.stopping()
        log.info("stopping")

    def step(self) -> None:
        """Report readiness if it changed. Until the first READY, extend systemd's timeout if no loop is late."""
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


TURNS_PER_LIMIT = 3


class Watchdog:
    """Feed systemd's watchdog as long as no loop is late; without that, systemd restarts the process."""

    def __init__(self, notifier: Notifier, heartbeats: Heartbeats, stopping: Stopping) -> None:
        self._notifier = notifier
        self._heartbeats = heartbeats
        self._stopping = stopping

    def run(self) -> None:
        if self._notifier.watchdog_seconds is not None:
            Loop(self.step, self._notifier.watchdog_seconds / TURNS_PER_LIMIT, self._stopping).run()

    def step(self) -> None:
        if late := self._heartbeats.late():
            log.error("watchdog not notified: loops are late", loops=late)
        else:
            self._notifier.feed_watchdog()


class ServiceWorker(Protocol):
    def run(self) -> None: ...


def service_workers(
    settings: Settings, readiness: Sequence[Readiness], stopping: Stopping, live: LiveState | None = None
) -> list[ServiceWorker]:
    """Return the workers that report the process's state to systemd and on the ops port."""
    notifier, heartbeats = notifier_from(), Heartbeats()
    return [
        OpsServer(settings.ops_address, create_ops_app(readiness, heartbeats, live, settings.ops_names), stopping),
        LifeCycle(notifier, readiness, heartbeats, stopping),
        Watchdog(notifier, heartbeats, stopping),
        HubWatch(WatchedStopping(stopping, heartbeats.of("hub"))),
    ]
