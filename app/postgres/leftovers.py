import os
import signal
import time
from pathlib import Path

import psutil

from app import logs

log = logs.get(__name__)

POLL_SECONDS = 0.05
PATIENCE_SECONDS = 60.0


def clear_leftovers(data: Path) -> None:
    """Ends what a killed run left in this data folder, and removes a pid file that names nobody.

    Only processes that work inside the folder are touched: the number in a stale pid file may belong to anyone by now.
    """
    pid_file = data / "postmaster.pid"
    for process in _processes_in(data):
        if process.pid == _named_in(pid_file):
            log.warning("stopping a database server that an earlier run left", pid=process.pid)
            _signal(process, signal.SIGINT)
            _wait_until_none_is_left(data)
    for process in _processes_in(data):
        _signal(process, signal.SIGQUIT)
    _wait_until_none_is_left(data)
    pid_file.unlink(missing_ok=True)


def _wait_until_none_is_left(data: Path) -> None:
    # Not by waiting for process numbers: a dead process keeps its own where nobody reaps orphans, as in containers.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while remaining := _processes_in(data):
        if time.monotonic() > deadline:
            log.warning("killing what does not stop", pids=[process.pid for process in remaining])
            for process in remaining:
                _signal(process, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def _processes_in(data: Path) -> list[psutil.Process]:
    """Every process of a PostgreSQL server works in its data folder."""
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
        log.debug("it had ended by itself", pid=process.pid)
