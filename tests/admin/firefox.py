"""A headless Firefox, as Debian's package manager installs it, spoken to by WebDriver BiDi: playwright itself drives only
a Firefox of its own, which is in no package registry."""

import itertools
import json
import re
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.processes import DEADLINE_SECONDS, Running, wait_until

FIREFOX = shutil.which("firefox-esr")
# It speaks to nobody but the service.
QUIET = """
user_pref("app.normandy.enabled", false);
user_pref("browser.safebrowsing.update.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "data:,");
"""
KEYS = {"Tab": "\ue004", "PageDown": "\ue00f", "ArrowLeft": "\ue012"}


class FirefoxPage:
    """Its only tab, and what the console said that should not be there."""

    def __init__(self, socket):
        self.complaints = []
        self._socket, self._numbers = socket, itertools.count()
        self._send("session.new", capabilities={})
        self._send("session.subscribe", events=["log.entryAdded"])
        self._context = self._send("browsingContext.getTree")["contexts"][0]["context"]

    def resize(self, width, height):
        self._send("browsingContext.setViewport", context=self._context, viewport={"width": width, "height": height})

    def goto(self, url):
        self._send("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def evaluate(self, expression):
        """The value of the expression, which goes through JSON."""
        found = self._send(
            "script.evaluate",
            expression=f"JSON.stringify({expression})",
            target={"context": self._context},
            awaitPromise=True,
        )
        assert found["type"] == "success", found
        return json.loads(found["result"].get("value", "null"))

    def wait_for_selector(self, selector):
        wait_until(lambda: self.evaluate(f"document.querySelector({json.dumps(selector)}) !== null"), what=selector)

    def press(self, key):
        actions = [{"type": kind, "value": KEYS[key]} for kind in ("keyDown", "keyUp")]
        self._send(
            "input.performActions", context=self._context, actions=[{"type": "key", "id": "keys", "actions": actions}]
        )

    def _send(self, method, **parameters):
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv(DEADLINE_SECONDS))).get("id") != number:
            said = answer["params"]
            if answer["method"] == "log.entryAdded" and said["level"] in {"error", "warn"}:
                self.complaints.append(said["text"])
        assert answer["type"] == "success", answer
        return answer["result"]


@contextmanager
def firefox():
    if FIREFOX is None:
        pytest.skip("firefox-esr is not installed")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "user.js").write_text(QUIET)
        process = Running(
            [FIREFOX, "--headless", "--profile", folder, "--remote-debugging-port", "0"], {"HOME": folder}
        )
        try:
            address = re.search(r"ws://\S+", process.wait_for("BiDi listening on"))[0]
            with connect(f"{address}/session", max_size=None) as socket:
                yield FirefoxPage(socket)
        finally:
            process.end()
