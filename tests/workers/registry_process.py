"""Starts tests/workers/registry_program.py and talks to it."""

import json
import subprocess
import sys
from contextlib import contextmanager

from tests.processes import DEADLINE_SECONDS, ROOT, environment, kept_errors, wait_until


class RegistryProcess:
    def __init__(self, process):
        self._process = process

    def tell(self, command, argument=b""):
        self._process.stdin.write(command.encode() + b" " + argument + b"\n")
        self._process.stdin.flush()

    def ask(self, command, argument=b""):
        self.tell(command, argument)
        line = self._process.stdout.readline()
        assert line, f"the registry ended with {self._process.wait(DEADLINE_SECONDS)}"
        return json.loads(line)

    def state(self):
        return self.ask("state")

    def wait_for(self, condition, what):
        return wait_until(lambda: (state := self.state()) and condition(state) and state, what=what)

    def stop(self):
        """The registry, and with it all that runs in its process."""
        self.tell("stop")
        return self._process.wait(DEADLINE_SECONDS)

    def terminate(self):
        self._process.terminate()
        return self._process.wait(DEADLINE_SECONDS)


@contextmanager
def running_registry(rest_url, **options):
    command = [sys.executable, "-m", "tests.workers.registry_program", json.dumps({"rest_url": rest_url, **options})]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        kept_errors("registry") as errors,
        subprocess.Popen(command, env=environment(NO_PROXY="127.0.0.1"), **pipes, stderr=errors, cwd=ROOT) as process,
    ):
        try:
            yield RegistryProcess(process)
        finally:
            process.kill()
