"""An embedded PostgreSQL server that ends with its parent process, even if that is killed.

The kernel stops the server when the parent dies (launcher.py). If something remains nevertheless, the next start clears
it before it opens the same data folder.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import psycopg2
import psycopg2.extensions
from psycopg2 import sql

from app.errors import ServerError
from app.postgres.dsn import Dsn
from app.postgres.embedded import launcher
from app.postgres.embedded.installation import (
    USER,
    Binaries,
    ServerAccount,
    ensure_cluster,
    find_binaries,
    reachable_binaries,
    server_account,
)
from app.runtime import logs
from app.runtime.durable_files import make_folder
from app.runtime.folder_lock import FolderLock

log = logs.get(__name__)

LEFTOVERS_POLL_SECONDS = 0.05
PATIENCE_SECONDS = 60.0


def clear_leftovers(data: Path) -> None:
    """Stop the processes that a killed run left in this data folder, and remove its stale pid file.

    Only processes that work inside the folder are touched: the number in a stale pid file may belong to any process by
    now.
    """
    pid_file = data / "postmaster.pid"
    for process in _processes_in(data):
        if process.pid == _named_in(pid_file):
            log.warning("stopping the database server of an earlier run", pid=process.pid)
            _signal(process, signal.SIGINT)
            _wait_until_none_is_left(data)
    for process in _processes_in(data):
        _signal(process, signal.SIGQUIT)
    _wait_until_none_is_left(data)
    pid_file.unlink(missing_ok=True)


def _wait_until_none_is_left(data: Path) -> None:
    # Process numbers are not waited for: a dead process keeps its number where no one reaps orphans, as in containers.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while remaining := _processes_in(data):
        if time.monotonic() > deadline:
            log.warning("killing processes that did not stop", pids=[process.pid for process in remaining])
            for process in remaining:
                _signal(process, signal.SIGKILL)
        time.sleep(LEFTOVERS_POLL_SECONDS)


def _processes_in(data: Path) -> list[psutil.Process]:
    """Return the server's processes: every process of a PostgreSQL server has its data folder as working directory."""
    folder = os.fspath(data.resolve())
    return [process for process in psutil.process_iter(["cwd", "name"]) if _is_server_process(process.info, folder)]


def _is_server_process(info: dict[str, str | None], folder: str) -> bool:
    return info["cwd"] == folder and (info["name"] or "").startswith("postgres")


def _named_in(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        log.debug("the process had already ended", pid=process.pid)


PORT = 5432
SOCKET_PATH_MAX_BYTES = 107
LOG_MAX_BYTES = 10_000_000
POLL_SECONDS = 0.02
PROGRESS_SECONDS = 5.0
STOP_SECONDS = 60.0

DEFAULT_OPTIONS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_locks_per_transaction": "256",  # a query over a month of hourly chunks locks each, and its indexes
    "max_wal_size": "4GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class EmbeddedServer:
    """A PostgreSQL server in a folder, running as long as this process lives; its data stays.

    It is a child that the kernel stops when we die, so it is never left behind. It listens on a Unix socket only, in a
    folder that no other account can enter.
    """

    def __init__(self, folder: Path, binaries: Path | None = None, options: Mapping[str, str] | None = None) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self.log_file = self.folder / "server.log"
        self._configured_binaries = binaries
        self._options = DEFAULT_OPTIONS | dict(options or {})
        self._lock = FolderLock(self.folder)
        self._socket_folder = self.data
        self.psql = Path("psql")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerError("The embedded database server is not running.")
        return self._process.pid

    def start(self) -> None:
        """Return when the server answers, after a crash recovery of any length."""
        self._make_folder()
        self._lock.take()
        try:
            account = self._account()
            binaries = reachable_binaries(find_binaries(self._configured_binaries), account, self.folder)
            self.psql = binaries.folder / "psql"
            ensure_cluster(self.data, binaries, account)
            clear_leftovers(self.data)
            self._socket_folder = self._make_socket_folder(account)
            self._process = self._launch(binaries, account)
            self._wait_until_it_answers(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Shut down cleanly. After STOP_SECONDS the server is killed, and recovers at its next start."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                log.warning("killing the database server: it did not stop", pid=self._process.pid)
                self._process.kill()
                self._process.wait()
        self._forget()

    def kill(self) -> None:
        """Kill the server like a power cut would: committed data must be there after the next start."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._forget()

    def _forget(self) -> None:
        self._process = None
        if self._socket_folder != self.data:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
            self._socket_folder = self.data
        self._lock.release()

    def dsn(self, database: str) -> Dsn:
        make_dsn = psycopg2.extensions.make_dsn
        return Dsn(make_dsn(host=os.fspath(self._socket_folder), port=PORT, user=USER, dbname=database))

    def ensure_database(self, name: str) -> Dsn:
        connection = psycopg2.connect(self.dsn("postgres").reveal())
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        finally:
            connection.close()
        return self.dsn(name)

    def has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _make_folder(self) -> None:
        try:
            make_folder(self.folder)
        except OSError as error:
            raise ServerError(
                f"The folder {self.folder} cannot be created.",
                str(error),
                "set KALSHI_DATA_DIR to a folder that this user may write.",
            ) from error

    def _account(self) -> ServerAccount | None:
        account = server_account(self.data)
        if account is not None and not account.can_enter(self.folder):
            raise ServerError(
                f"The embedded database cannot run in {self.folder}.",
                "PostgreSQL does not run as root, and other accounts cannot enter this folder.",
                "set KALSHI_DATA_DIR to a folder such as /var/lib/kalshi-data.",
            )
        return account

    def _make_socket_folder(self, account: ServerAccount | None) -> Path:
        # The kernel limits the path of a Unix socket: a data folder with a longer one needs a short folder elsewhere.
        if len(os.fsencode(self.data / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_MAX_BYTES:
            return self.data
        folder = Path(tempfile.mkdtemp(prefix="kalshi-data-"))
        if account is not None:
            account.own(folder)
        return folder

    def _launch(self, binaries: Binaries, account: ServerAccount | None) -> subprocess.Popen[bytes]:
        uid, gid = account or (os.getuid(), os.getgid())
        launch = [sys.executable, "-I", "-S", launcher.__file__, str(uid), str(gid), str(os.getpid())]
        server = [os.fspath(binaries.postgres), "-D", os.fspath(self.data), "-p", str(PORT)]
        for name, value in {**self._options, "unix_socket_directories": os.fspath(self._socket_folder)}.items():
            server += ["-c", f"{name}={value}"]
        if self.log_file.exists() and self.log_file.stat().st_size > LOG_MAX_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        with self.log_file.open("ab") as output:
            # A session of its own, so that Ctrl-C in a terminal reaches only us; we stop the server when we are done
            # with it.
            return subprocess.Popen(
                launch + server, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
            )

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        # There is no deadline: crash recovery takes as long as the log since the last checkpoint is.
        started = told = time.monotonic()
        while True:
            if process.poll() is not None:
                raise ServerError(
                    "The embedded database server did not start.", self._log_tail(10), f"see {self.log_file}."
                )
            try:
                psycopg2.connect(self.dsn("postgres").reveal()).close()
            except psycopg2.OperationalError:
                if time.monotonic() - told > PROGRESS_SECONDS:
                    told = time.monotonic()
                    log.info("waiting for the database server", seconds=round(told - started), last=self._log_tail(1))
                time.sleep(POLL_SECONDS)
            else:
                return

    def _log_tail(self, lines: int) -> str:
        with self.log_file.open("rb") as file:
            file.seek(max(0, self.log_file.stat().st_size - 4_000))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
