"""Connections in a process of their own, since tests are not patched."""

import json
import subprocess
import sys
from contextlib import contextmanager

from tests.processes import DEADLINE_SECONDS, ROOT, environment, kept_errors, wait_until

CONN, ENDED, SID, MARKETS, MISSING, CAUSE = 2, 4, 5, 6, 7, 9  # in a row of gaps
PROGRAM = ROOT / "tests/workers/programs/listen.py"


def ordinals(simulator, channel):
    """Of the simulator's connections that have this channel."""
    connections = simulator.state()["connections"]
    return [each["ordinal"] for each in connections if any(one["channel"] == channel for one in each["subscriptions"])]


def refused_handshakes(simulator):
    return simulator.state()["refused_handshakes"]


def tampered(simulator, ordinal, fault_id):
    """How many of a connection's frames a fault has taken."""
    (found,) = (each for each in simulator.state()["connections"] if each["ordinal"] == ordinal)
    return found["tampered_frames"].get(str(fault_id), 0)


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

    def gaps_of(self, role):
        """As they were last written."""
        conns = {each["conn"] for each in self.connections(role)}
        return list({row[1]: row for row in self.rows("gaps") if row[CONN] in conns}.values())

    def drain(self, simulator):
        """Until nothing new comes in from an exchange whose clock stands still."""
        wait_until(
            lambda: not any(each["waiting_frames"] for each in simulator.state()["connections"]), what="all sent"
        )
        before = None
        while before != (before := self.state()["rows"]):
            continue

    def connections(self, role=None):
        return [each for each in self.state()["connections"] if role in (None, each["role"])]

    def books(self):
        """How many are wanted, heard, and in doubt."""
        books = self.connections("book")
        return tuple(sum(each[what] for each in books) for what in ("wanted", "received", "in_doubt"))

    def wait_for_all(self, markets=None):
        """Until everything that is wanted is heard, on sockets that are all open."""

        def is_complete():
            state = self.state()["connections"]
            wanted, _heard, in_doubt = self.books()
            is_whole = all(each["state"] == "open" and each["received"] == each["wanted"] for each in state)
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
        "KALSHI_GATHERERS": 1,
        **({} if connections is None else {"KALSHI_WS_CONNECTIONS": connections}),
        **settings,
    }
    command = [sys.executable, str(PROGRAM), "keep" if keeps else "count"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        kept_errors("listening") as errors,
        subprocess.Popen(command, env=environment(**given), **pipes, stderr=errors, text=True, cwd=ROOT) as process,
    ):
        try:
            yield Listening(process)
        finally:
            process.kill()
