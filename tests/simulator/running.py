"""The simulator as a process of its own, and clients of it that share no code with it."""

import base64
import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from websockets.sync.client import connect

from tests.harness.kept import keep_output
from tests.processes import environment, wait_until

PROJECT = Path(__file__).parents[2]
DEADLINE_SECONDS = 120
START = "2026-11-21T15:00:00Z"


class Answer(NamedTuple):
    status: int
    headers: dict
    text: bytes

    @property
    def body(self):
        return json.loads(self.text)


def fetch(url, method="GET", body=None, headers=None, **parameters):
    query = urllib.parse.urlencode(parameters, doseq=True)
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}?{query}" if query else url, data, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as response:
            return Answer(response.status, dict(response.headers), response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), error.read())


class Running:
    def __init__(self, process, where, log):
        self.process = process
        self.where = where
        self.log = log
        self.truth = Path(where["truth"])

    def rest(self, path, headers=None, **parameters):
        return fetch(self.where["rest"] + path, headers=headers, **parameters)

    def control(self, path, method="GET", body=None):
        return fetch(self.where["control"] + path, method, body)

    def state(self):
        return self.control("/state").body

    def inflict(self, fault, **details):
        answer = self.control("/faults", "POST", {"fault": fault, **details})
        assert answer.status == 201, answer.text
        return answer.body

    def lift(self, fault_id):
        return self.control(f"/faults/{fault_id}", "DELETE").status

    def stop_the_clock(self):
        """And wait until all that happened before is on its way; a client that drains its connection has it all."""
        self.control("/clock", "POST", {"running": False})
        return wait_until(self._all_told, what="an idle simulator")

    def go_on(self):
        self.control("/clock", "POST", {"running": True})

    def _all_told(self):
        state = self.state()
        return state if state["told_until_us"] == state["now_us"] else None

    def signed(self, path, method="GET", key=0, at_ms=None):
        """The three headers, made the way a client of the exchange makes them."""
        key_id, file = self.where["keys"][key]["key_id"], self.where["keys"][key]["private_key_file"]
        timestamp = str(time.time_ns() // 1_000_000 if at_ms is None else at_ms)
        signature = sign(Path(file), f"{timestamp}{method}{path}".encode())
        return {
            "KALSHI-ACCESS-KEY": key_id,
            "KALSHI-ACCESS-TIMESTAMP": timestamp,
            "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
        }

    def connect(self, key=0, path="/trade-api/ws/v2", **options):
        host = urllib.parse.urlsplit(self.where["websocket"]).netloc
        headers = options.pop("headers", None) or self.signed(path, key=key)
        how = {"max_size": None, "compression": None, "close_timeout": 1, **options}
        return connect(f"ws://{host}{path}", additional_headers=headers, **how)

    def tickers(self, **filters):
        return [market["ticker"] for market in self._all("/markets", "markets", filters)]

    def trades(self, **filters):
        return self._all("/markets/trades", "trades", filters)

    def _all(self, path, name, filters):
        found, cursor = [], ""
        while True:
            page = self.rest(path, limit=1000, cursor=cursor, **filters).body
            found += page[name]
            cursor = page["cursor"]
            if not cursor:
                return found

    def stop(self):
        self.process.terminate()
        return self.process.wait(DEADLINE_SECONDS)


def sign(file, message):
    key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    if isinstance(key, RSAPrivateKey):
        return key.sign(message, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    return key.sign(message)


@contextlib.contextmanager
def running_simulator(folder, *options, start=START):
    """Ends with it; where it was not stopped by the test, it must end in good order. Without a start: its time is ours."""
    command = [sys.executable, "-m", "app", "simulator", "--folder", str(folder)]
    command += ["--start", start] if start else []
    # A pipe that nobody reads would stop it once it is full.
    log = folder.with_name(f"{folder.name}.log")
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [*command, *map(str, options)],
            cwd=PROJECT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        keep_output("simulator", log.read_text, lambda: process.poll() is not None)
        try:
            line = process.stdout.readline()
            assert line, log.read_text()
            yield Running(process, json.loads(line), log)
            if process.poll() is None:
                process.terminate()
                process.wait(DEADLINE_SECONDS)
                assert process.returncode == 0, log.read_text()
        finally:
            process.kill()


def open_socket(simulator):
    """A WebSocket by hand: a library would parse every frame."""
    address = urllib.parse.urlsplit(simulator.where["websocket"])
    connection = socket.create_connection((address.hostname, address.port))
    lines = [f"GET {address.path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
    lines += [f"{name}: {value}" for name, value in simulator.signed(address.path).items()]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    assert b" 101 " in connection.recv(4_096)
    return connection


class Client:
    """Reads a connection and remembers what it saw."""

    def __init__(self, connection):
        self.connection = connection
        self.seen = []
        self._next_id = 0

    def send(self, command, **params):
        self._next_id += 1
        message = {"id": self._next_id, "cmd": command}
        self.connection.send(json.dumps({**message, "params": params} if params else message))
        return self._next_id

    def ask(self, command, **params):
        """The answer; what comes before it is only remembered."""
        number = self.send(command, **params)
        return self.wait_for(lambda message: message.get("id") == number, f"the answer to {command}")

    def wait_for(self, condition, what):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            message = self.receive(deadline - time.monotonic())
            if condition(message):
                return message
        raise AssertionError(f"waited for {what}; the last of {len(self.seen)} messages: {self.seen[-3:]}")

    def wait_for_type(self, kind):
        return self.wait_for(lambda message: message["type"] == kind, kind)

    def receive(self, timeout=DEADLINE_SECONDS):
        message = json.loads(self.connection.recv(timeout))
        self.seen.append(message)
        return message

    def drain(self):
        """What has been sent already, up to the answer to a question that changes nothing."""
        self.ask("list_subscriptions")
        return self.seen

    def of_type(self, kind):
        return [message for message in self.seen if message["type"] == kind]
