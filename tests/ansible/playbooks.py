"""Playbooks run as an operator runs them, against the made-up AWS."""

import json
import os
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import boto3

from tests.ansible.places import ANSIBLE, EXAMPLES
from tests.processes import ROOT, wait_until

SCRIPTS = Path(sys.executable).parent
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)
HOSTS_WANTED = os.environ.get("ANSIBLE_HOSTS") == "1"
WHY_NOT = "takes minutes: make test-ansible"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}


class Run:
    """How a playbook ended, and what it said of each host."""

    def __init__(self, done):
        self.succeeded = done.returncode == 0
        self.output = done.stdout + done.stderr
        self.changed = {host: int(changed) for host, _, changed, _, _ in RECAP.findall(self.output)}

    @property
    def changed_tasks(self):
        tasks = re.split(r"^(?=TASK|RUNNING HANDLER)", self.output, flags=re.MULTILINE)
        return [task.splitlines()[0] for task in tasks if re.search(r"^changed:", task, re.MULTILINE)]


def ansible(program, *arguments, answers="", **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "AWS_", "KALSHI_"))}
    return subprocess.run(
        [SCRIPTS / program, *map(str, arguments)],
        cwd=ANSIBLE,
        env={**clean, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_LOCALHOST_WARNING": "0", **environment},
        input=answers,
        capture_output=True,
        text=True,
    )


def playbook(name, *arguments, inventory=EXAMPLES / "inventory", extra=None, **environment):
    more = ["--extra-vars", json.dumps(extra)] if extra else []
    return Run(ansible("ansible-playbook", "--inventory", inventory, name, *more, *arguments, **environment))


INVENTORY = """
all:
  hosts:
    localhost:
      ansible_connection: local
      ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""


def role_tasks(tasks, folder, *arguments, extra, **environment):
    """Run a file of a role's tasks on this machine."""
    (folder / "hosts.yml").write_text(INVENTORY)
    given = {"role_tasks": tasks, **extra}
    return playbook(EXAMPLES / "role_tasks.yml", *arguments, inventory=folder / "hosts.yml", extra=given, **environment)


class FakeAws:
    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"
        self.environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": self.url, "AWS_EC2_METADATA_DISABLED": "true"}

    def client(self, service):
        key = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        return boto3.client(service, endpoint_url=self.url, region_name="us-east-1", **key)


def free_port():
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def answers(port):
    with socket.socket() as opened:
        return opened.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def fake_aws(*database):
    port = free_port()
    command = [sys.executable, "-m", "tests.ansible.fake_aws", str(port), *database]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: answers(port), what="the made-up AWS")
            yield FakeAws(port)
        finally:
            process.terminate()
