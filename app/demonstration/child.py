import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.errors import OperatorError
from app.postgres import launcher

PROJECT = Path(__file__).parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 90.0
POLL_SECONDS = 0.02
SHOWN_LINES = 10


class Child:
    """A process of the platform. What it says goes to a file, and the kernel stops it when we die.

    It is not of our terminal's group: Ctrl-C is ours alone, and processes end in their order.
    """

    def __init__(self, name: str, arguments: Sequence[str], settings: Mapping[str, str], logs: Path) -> None:
        self.name = name
        self.log_file = logs / f"{name}.log"
        self._arguments = arguments
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("KALSHI_")}
        launch = [sys.executable, "-I", "-S", launcher.__file__, str(os.getuid()), str(os.getgid()), str(os.getpid())]
        with self.log_file.open("ab") as output:
            self._process = subprocess.Popen(
                [*launch, sys.executable, "-m", *self._arguments],
                env={**inherited, "PYTHONPATH": os.fspath(PROJECT), **self._settings},
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def first_object(self) -> dict[str, Any]:
        """The JSON object that it says on its first line."""
        deadline_seconds = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline_seconds:
            line, end, _ = self.log_file.read_bytes().partition(b"\n")
            if end:
                said: dict[str, Any] = json.loads(line)
                return said
            self.check()
            time.sleep(POLL_SECONDS)
        raise self._failure("does not start")

    def check(self) -> None:
        """Raises if it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise self._failure("ended")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Returns when it has ended in order; raises if it did not."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise self._failure(f"did not stop in {STOP_SECONDS:.0f} s") from None
        self._process = None
        if code != 0:
            raise self._failure(f"ended with {code}")

    def _failure(self, what: str) -> OperatorError:
        lines = self.log_file.read_text(errors="replace").splitlines()[-SHOWN_LINES:]
        return OperatorError(f"The demo's {self.name} {what}.", "\n".join(lines), f"see {self.log_file}.")
