"""Alerts reach whom they are for, and somebody outside hears as long as Prometheus and Alertmanager work, and no longer."""

import json
import subprocess
from contextlib import contextmanager

import jinja2
import pytest
import yaml

from tests.ansible.outside import listening_outside
from tests.ansible.places import ANSIBLE
from tests.ansible.playbooks import free_port
from tests.ansible.prometheus_tools import program
from tests.ansible.test_alerts import RULES
from tests.processes import wait_until

NEEDED = ("prometheus", "prometheus-alertmanager", "amtool")
MISSING = [name for name in NEEDED if program(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
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


@contextmanager
def started(name, *options):
    output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([program(name), *map(str, options)], **output) as process:
        try:
            yield process
        finally:
            process.terminate()


def monitoring(folder, itself, alertmanager):
    """As the role's, of a single host, which is Prometheus' own."""
    file = folder / "prometheus.yml"
    written = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules) for rules in RULES],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]},
        "scrape_configs": [{"job_name": "node", "static_configs": [{"targets": [f"127.0.0.1:{itself}"]}]}],
    }
    file.write_text(yaml.safe_dump(written))
    return file


def test_outside_hears_again_and_again_that_alerts_would_come(tmp_path):
    itself, alertmanager = free_port(), free_port()
    with listening_outside() as outside:
        told = [f"--config.file={settings(tmp_path, outside.url)}", f"--storage.path={tmp_path / 'told'}"]
        told += [f"--web.listen-address=127.0.0.1:{alertmanager}", "--cluster.listen-address="]
        seen = [
            f"--config.file={monitoring(tmp_path, itself, alertmanager)}",
            f"--storage.tsdb.path={tmp_path / 'seen'}",
        ]
        seen += [f"--web.listen-address=127.0.0.1:{itself}"]
        with started("prometheus-alertmanager", *told), started("prometheus", *seen):
            wait_until(lambda: len(outside.calls) >= 2, what="a second call")
        assert {alert["labels"]["alertname"] for call in outside.calls for alert in call["alerts"]} == {"Heartbeat"}


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["alertname=DeduplicatorDown", "severity=critical"], "critical"),
        (["alertname=GathererDown", "severity=warning"], "warning"),
        (["alertname=AdminDown", "severity=info"], "info"),
        (["alertname=Heartbeat", "severity=info"], "heartbeat"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_each_alert_goes_to_whom_it_is_for(tmp_path, labels, receiver):
    file = settings(tmp_path, "https://deadman.example/")
    command = [program("amtool"), "config", "routes", "test", f"--config.file={file}", *labels]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == receiver, done.stderr


def test_without_anybody_outside_the_settings_are_valid_too(tmp_path):
    command = [program("amtool"), "check-config", settings(tmp_path, "")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
