"""Start, watch and stop the demo's processes and database servers, and query their ops ports."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from app.errors import OperatorError
from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.postgres.dsn import Dsn
from app.postgres.embedded import launcher
from app.postgres.embedded.server import EmbeddedServer
from app.storage.migrations import migrate, migrations_of

PROJECT = Path(__file__).parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 90.0
POLL_SECONDS = 0.02
SHOWN_LINES = 10


class Child:
    """A process of the platform. Its output goes to a file, and the kernel stops it when the demo dies.

    It has its own session: Ctrl-C reaches only the demo, which stops the processes in order.
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
        """Return the JSON object on the first line of its output."""
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
        """Raise if it has ended on its own."""
        if self._process is not None and self._process.poll() is not None:
            raise self._failure("ended")

    def kill(self) -> None:
        """Kill the process and wait for its end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Stop the process and return when it has ended with code 0. Raise if it did not."""
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


# The demo's database servers, each in its own folder, with small memory settings: many run on one host.

GATHERERS = ("one", "two", "three")
PRODUCTION = "production"
OF_A_GATHERER = (DatabaseKind.TIMESERIES, DatabaseKind.METADATA)
SMALL = {"shared_buffers": "64MB", "max_wal_size": "512MB", "track_commit_timestamp": "on"}


def server_folder(data_dir: Path, name: str) -> Path:
    return data_dir / "demo" / name


def kinds_of(name: str) -> tuple[DatabaseKind, ...]:
    return (DatabaseKind.PRODUCTION,) if name == PRODUCTION else OF_A_GATHERER


class Server:
    """A database server and its migrated databases."""

    def __init__(self, folder: Path, kinds: Iterable[DatabaseKind], binaries: Path | None) -> None:
        self._server = EmbeddedServer(folder, binaries, SMALL)
        self._kinds = tuple(kinds)
        self.dsns: dict[DatabaseKind, Dsn] = {}
        self.stop, self.kill = self._server.stop, self._server.kill

    def start(self) -> None:
        self._server.start()
        self.dsns = {kind: self._server.ensure_database(kind.database) for kind in self._kinds}
        for kind, dsn in self.dsns.items():
            with connected(dsn) as connection:
                migrate(connection, migrations_of(kind))

    def start_again(self) -> None:
        """Start again at the same address, since the processes that use it know no other."""
        self._server.start()
        if any(self._server.dsn(kind.database).reveal() != dsn.reveal() for kind, dsn in self.dsns.items()):
            raise OperatorError(
                "A database server has another socket folder after its restart.",
                "The path of its folder is too long for a socket in it.",
                "set KALSHI_DATA_DIR to a shorter path.",
            )


@contextmanager
def stop_request() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C or SIGTERM sets. The second raises KeyboardInterrupt immediately."""
    asked = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, ask) for number in numbers]
    try:
        yield asked
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


# Requests to processes on this host.

ANSWER_SECONDS = 10.0


class ProcessAnswer(NamedTuple):
    status: int
    text: bytes

    @property
    def body(self) -> Any:  # noqa: ANN401 - any JSON
        return json.loads(self.text)


def free_port() -> int:
    """Return a port that is free now. Another process may take it before it is used."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def ask(url: str, body: object = None) -> ProcessAnswer | None:
    """Return the answer, or None if there is none, for example because the process starts or has ended."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - our own
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as response:  # noqa: S310 - our own
            return ProcessAnswer(response.status, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return ProcessAnswer(error.code, error.read())
    except (OSError, http.client.HTTPException):
        return None


class Process(Child):
    """A worker of the platform, with its ops port."""

    def __init__(self, name: str, worker: str, settings: Mapping[str, str], logs: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        common = {"KALSHI_OPS_ADDRESS": f"127.0.0.1:{port}", "KALSHI_LOG_FORMAT": "json"}
        super().__init__(name, ["workers", worker], {**settings, **common}, logs)

    def why_not_ready(self) -> str | None:
        """Return why the worker is not ready, or None."""
        self.check()
        answer = ask(f"{self.url}/ready")
        if answer is None:
            return f"{self.name} does not answer"
        return None if answer.status == HTTPStatus.OK else f"{self.name}: {'; '.join(answer.body['reasons'])}"

    def metrics(self) -> Mapping[str, float]:
        """Return each metric's sum over its labels; empty while the worker does not answer."""
        answer = ask(f"{self.url}/metrics")
        sums: dict[str, float] = defaultdict(float)
        for family in text_string_to_metric_families(answer.text.decode() if answer else ""):
            for sample in family.samples:
                sums[sample.name] += sample.value
        return sums


LOOK_SECONDS = 0.2


def wait_until(reason: Callable[[], str | None], most_seconds: float) -> None:
    """Wait until `reason` returns None. Raise OperatorError with the last reason after the deadline."""
    deadline_seconds = time.monotonic() + most_seconds
    while (waiting_for := reason()) is not None:
        if time.monotonic() > deadline_seconds:
            raise OperatorError(f"The demo timed out after {most_seconds:.0f} s.", waiting_for)
        time.sleep(LOOK_SECONDS)
