"""The process of ops_process.py, and how it is asked."""

import json
from contextlib import contextmanager

import requests

from tests.processes import running

DEADLINE_SECONDS = 120


class Ops:
    def __init__(self, process):
        self.process = process
        self.url = json.loads(process.wait_for("ops port listening"))["url"]
        self.address = (self.url.split("/")[2].split(":")[0], int(self.url.rsplit(":")[-1]))
        self._session = requests.Session()
        self._session.trust_env = False

    def ask(self, method, path, **options):
        return self._session.request(method, self.url + path, timeout=DEADLINE_SECONDS, **options)

    def get(self, path, **options):
        return self.ask("GET", path, **options)

    def answer(self, path, **options):
        answer = self.get(path, **options)
        return answer.status_code, answer.json()

    def switch(self, name, value):
        assert self.ask("POST", f"/switch/{name}", json=value).status_code == 204

    def metric(self, name):
        for line in self.get("/metrics").text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[-1])
        raise AssertionError(f"there is no {name}")


@contextmanager
def running_ops(*reasons, **settings):
    with running("-m", "tests.ops.ops_process", *reasons, KALSHI_OPS_ADDRESS="127.0.0.1:0", **settings) as process:
        ops = Ops(process)
        try:
            yield ops
        finally:
            ops._session.close()
