"""Connections in a process of their own, since tests are not patched."""

import json
import subprocess
import sys
from contextlib import contextmanager

from tests.processes import DEADLINE_SECONDS, ROOT, environment, wait_until

PROGRAM = ROOT / "tests/workers/programs/listen.py"


class Listening:
    def __init__(self, process):
        self.process = process

    def say(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the process ended with {self.process.wait(DEADLINE_SECONDS)}"
        return json.loads(line)

    def state(self):
        return self.say()

    def rows(self, table):
        return self.say(rows=table)

    def connections(self, role=None):
        return [each for each in self.state()["connections"] if role in (None, each["role"])]

    def books(self):
        """How many are wanted, heard, and in doubt."""
        books = self.connections("book")
        return tuple(sum(each[what] for each in books) for what in ("wanted", "heard", "in_doubt"))

    def wait_for_all(self, markets=None):
        """Until everything that is wanted is heard, on sockets that are all open."""

        def is_complete():
            state = self.state()["connections"]
            wanted, heard, in_doubt = self.books()
            is_whole = all(each["state"] == "open" and each["heard"] == each["wanted"] for each in state)
            return is_whole and not in_doubt and wanted in (markets, wanted) and (markets is None or wanted == markets)

        wait_until(is_complete, what="everything heard")

    def stop(self):
        self.process.stdin.close()
        return self.process.wait(DEADLINE_SECONDS)


@contextmanager
def listening(simulator, *, connections=8, keeps=True, **settings):
    key = simulator.where["keys"][0]
    given = {
        "KALSHI_WS_URL": simulator.where["websocket"],
        "KALSHI_API_KEY_ID": key["key_id"],
        "KALSHI_API_PRIVATE_KEY_FILE": key["private_key_file"],
        "KALSHI_WS_CONNECTIONS": connections,
        "KALSHI_GATHERERS": 1,
        **settings,
    }
    command = [sys.executable, str(PROGRAM), "keep" if keeps else "count"]
    with subprocess.Popen(
        command, env=environment(**given), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            yield Listening(process)
        finally:
            process.kill()
