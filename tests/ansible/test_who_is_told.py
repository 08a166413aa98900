"""Alerts go to whom they are for, as Debian's Alertmanager reads what the role writes; test_platform.py lets it send."""

import json
import subprocess

import jinja2
import pytest

from tests.ansible.places import ANSIBLE
from tests.ansible.prometheus_tools import program

pytestmark = pytest.mark.skipif(program("amtool") is None, reason="amtool is not installed: prometheus-alertmanager")
TEMPLATE = ANSIBLE / "roles/alertmanager/templates/alertmanager.yml.j2"
# Of three kinds, none of which is asked here.
RECEIVERS = {
    f"alertmanager_{severity}": {"webhook_configs": [{"url": f"http://127.0.0.1:9/{severity}"}]}
    for severity in ("critical", "warning", "info")
}


def settings(folder, heartbeat_url):
    """Write what the role would, and return where."""
    known = {**RECEIVERS, "alertmanager_heartbeat_url": heartbeat_url}
    # What it writes is no page, whose words would have to be escaped.
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined)  # noqa: S701
    environment.filters |= {"to_json": json.dumps, "combine": lambda ours, theirs: ours | theirs}
    environment.globals["lookup"] = lambda _, name: known[name]
    file = folder / "alertmanager.yml"
    file.write_text(environment.from_string(TEMPLATE.read_text()).render(known, ansible_managed="by a test"))
    return file


@pytest.mark.parametrize(
    ("alert", "severity", "receiver"),
    [
        ("DeduplicatorDown", "critical", "critical"),
        ("GathererDown", "warning", "warning"),
        ("AdminDown", "info", "info"),
        ("Heartbeat", "info", "heartbeat"),
    ],
)
def test_each_alert_goes_to_whom_it_is_for(tmp_path, alert, severity, receiver):
    options = [f"--config.file={settings(tmp_path, 'https://deadman.example/')}"]
    command = [program("amtool"), "config", "routes", "test", *options, f"alertname={alert}", f"severity={severity}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == receiver, done.stderr


def test_without_anybody_outside_the_settings_are_valid_too(tmp_path):
    command = [program("amtool"), "check-config", settings(tmp_path, "")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
