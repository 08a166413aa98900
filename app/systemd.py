"""What systemd is told about this process (man sd_notify), where it asked to be told."""

import os
import socket
from collections.abc import MutableMapping

from app import logs

log = logs.get(__name__)

MICROSECONDS = 1_000_000
SEND_SECONDS = 1


class Notifier:
    """Without an address nothing is told, and nobody feeds a watchdog."""

    def __init__(self, address: str | None = None, watchdog_seconds: float | None = None) -> None:
        # Linux writes an abstract socket's name with a leading zero byte, the environment with an @.
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self.watchdog_seconds = watchdog_seconds

    def ready(self) -> None:
        self._tell("READY=1")

    def status(self, text: str) -> None:
        self._tell("STATUS=" + " ".join(text.split()))

    def needs_longer(self, seconds: int) -> None:
        """To start or to stop: so long from now on, whatever its unit allows."""
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
            # It draws its own conclusions; a recorder has better things to do than to end for it.
            log.warning("systemd was not told", line=line, error=str(error))


def notifier_from(environment: MutableMapping[str, str] = os.environ) -> Notifier:
    """Takes what systemd set out of the environment: a child of ours must not speak for us."""
    address = environment.pop("NOTIFY_SOCKET", None)
    watchdog_us = environment.pop("WATCHDOG_USEC", None)
    watchdog_pid = environment.pop("WATCHDOG_PID", None)
    is_meant = watchdog_pid is None or watchdog_pid == str(os.getpid())
    return Notifier(address, int(watchdog_us) / MICROSECONDS if watchdog_us and is_meant else None)
