"""Programs run as a user runs them: as processes, judged by their output and exit code."""

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from tests.harness.kept import keep_output

ROOT = Path(__file__).parents[1]
# A module of tests/harness/startup/ makes processes start sooner.
PYTHONPATH = os.pathsep.join([str(ROOT / "tests/harness/startup"), str(ROOT)])
DEADLINE_SECONDS = 180
# Conditions ask databases and processes: a long wait that asked often would take the processor from what it waits for.
FIRST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 0.25


def environment(**settings):
    """Ours without any setting of the person who runs the tests, and with these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KALSHI_")}
    return {**inherited, "PYTHONPATH": PYTHONPATH, **{name: str(value) for name, value in settings.items()}}


def run(*arguments, **settings):
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(
        command, env=environment(**settings), capture_output=True, text=True, timeout=DEADLINE_SECONDS, cwd=ROOT
    )
    keep_output(name_of(command), lambda: done.stdout + done.stderr, lambda: True)
    return done


def name_of(command):
    """Short enough for a file: what follows the interpreter."""
    return re.sub(r"[^\w.]+", "-", "-".join(command[1:4])).strip("-")[:40]


@contextmanager
def running(*arguments, **settings):
    process = Running([sys.executable, *map(str, arguments)], settings)
    try:
        yield process
    finally:
        process.end()


@contextmanager
def kept_errors(name):
    """A file for what a process says on standard error, kept if the test fails."""
    said = []
    # Appended to, since the process writes where its reader here leaves the file's position.
    with tempfile.TemporaryFile("a+", errors="replace") as file:

        def read():
            file.seek(0)
            return file.read()

        keep_output(name, lambda: said[0] if said else read(), lambda: bool(said))
        try:
            yield file
        finally:
            said.append(read())


class Running:
    def __init__(self, command, settings):
        self._popen = subprocess.Popen(
            command, env=environment(**settings), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
        )
        self.pid = self._popen.pid
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        keep_output(name_of(command), lambda: "".join(self.lines), self._is_over)

    def wait_for(self, text):
        """The first line with this text. Fails when the process ends or the deadline passes without one."""
        found = wait_until(lambda: next((line for line in self.lines if text in line), None) or self._is_over())
        assert isinstance(found, str), f"ended without saying {text!r}; it said:\n" + "".join(self.lines)
        return found

    def signal(self, number):
        self._popen.send_signal(number)

    def exit_code(self):
        code = self._popen.wait(DEADLINE_SECONDS)
        self._reader.join()
        return code

    def end(self):
        if self._popen.poll() is None:
            self._popen.kill()
        self.exit_code()
        self._popen.stdout.close()

    def _is_over(self):
        return self._popen.poll() is not None and not self._reader.is_alive()

    def _read(self):
        for line in self._popen.stdout:
            self.lines.append(line)


def wait_until(condition, deadline_seconds=DEADLINE_SECONDS, what="it"):
    """What the condition returns as soon as that is true."""
    deadline = time.monotonic() + deadline_seconds
    pause_seconds = FIRST_PAUSE_SECONDS
    while not (seen := condition()):
        assert time.monotonic() < deadline, f"{what} did not come about in {deadline_seconds} s; last seen: {seen!r}"
        time.sleep(pause_seconds)
        pause_seconds = min(1.2 * pause_seconds, LONGEST_PAUSE_SECONDS)
    return seen
