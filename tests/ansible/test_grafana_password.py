"""Grafana takes its administrator's password from its settings only once: afterwards a rotated one is set by the playbook.

The server here is as small as the tasks need: it knows a password, which the program `grafana` sets.
"""

import http.server
import os
import threading
from base64 import b64encode

import pytest

from tests.ansible.playbooks import role_tasks

PROGRAM = """#!/bin/sh
printf '%s\\n' "$*" >> {folder}/arguments
read -r password
printf '%s' "$password" > {folder}/password
exit {code}
"""


class Login(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        right = b64encode(b"admin:" + (self.server.folder / "password").read_bytes()).decode()
        is_right = self.headers.get("Authorization") == f"Basic {right}"
        self.send_response(200 if is_right and self.path == "/api/user" else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Grafana:
    def __init__(self, folder, port):
        self._folder = folder
        self._port = port

    @property
    def password(self):
        return (self._folder / "password").read_text()

    @property
    def arguments(self):
        file = self._folder / "arguments"
        return file.read_text().splitlines() if file.exists() else []

    def install(self, code=0):
        program = self._folder / "grafana"
        program.write_text(PROGRAM.format(folder=self._folder, code=code))
        program.chmod(0o755)

    def configure(self, password):
        given = {
            "platform_address": "127.0.0.1",
            "platform_ports": {"grafana": self._port},
            "credentials_passwords": {"grafana_admin": password},
            # The account comes with the package.
            "ansible_become": False,
        }
        path = f"{self._folder}{os.pathsep}{os.environ['PATH']}"
        done = role_tasks("grafana/tasks/password", self._folder, "-vvv", extra=given, PATH=path)
        assert password not in done.output
        return done


@pytest.fixture
def grafana(tmp_path):
    (tmp_path / "password").write_text("OfTheFirstDays")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Login) as server:
        server.folder = tmp_path
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running = Grafana(tmp_path, server.server_port)
        running.install()
        yield running
        server.shutdown()


def test_a_rotated_password_is_set_once_and_is_on_no_command_line(grafana):
    done = grafana.configure("AnotherOne")
    assert (done.succeeded, done.changed) == (True, {"localhost": 1}), done.output
    assert grafana.password == "AnotherOne"
    assert len(grafana.arguments) == 1
    assert "AnotherOne" not in grafana.arguments[0]
    again = grafana.configure("AnotherOne")
    assert (again.succeeded, again.changed) == (True, {"localhost": 0}), again.output
    assert len(grafana.arguments) == 1


def test_a_password_that_cannot_be_set_stops_the_playbook(grafana):
    grafana.install(code=1)
    assert not grafana.configure("AnotherOne").succeeded
    assert len(grafana.arguments) == 1
