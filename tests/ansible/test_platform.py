"""site.yml from nothing, over SSH onto hosts that boot: a made-up AWS, a simulated exchange, and all the rest as it is."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from app.environment import known_settings
from tests.ansible.machines import running_machines, why_impossible
from tests.ansible.playbooks import HOSTS_WANTED, WHY_NOT, playbook
from tests.ansible.test_services import SERVICES, VARIABLES, credentials
from tests.processes import ROOT, environment, wait_until
from tests.simulator.running import running_simulator

pytestmark = [
    pytest.mark.skipif(not HOSTS_WANTED, reason=WHY_NOT),
    pytest.mark.skipif(why_impossible() is not None, reason=f"no hosts can be started here: {why_impossible()}"),
]

GATHERER = "http://127.0.1.10:9401"
PROMETHEUS = "http://127.0.1.20:9090"
READY_SECONDS = 120


def not_there_yet():
    """Processes that this commit has not, or of which it does not know a setting that they are given."""
    told = subprocess.run(
        [sys.executable, "-m", "workers", "--help"], cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    settings = {setting.variable for setting in known_settings()}
    return [
        name
        for name, service in SERVICES.items()
        if (name != "admin" and not re.search(rf"^  {name} ", told.stdout, re.MULTILINE))
        or not {*service["environment"], *(setting_of(credential) for credential in credentials(name))} <= settings
    ]


def setting_of(credential):
    return VARIABLES["application_credentials"][credential]["setting"]


@pytest.fixture(scope="module")
def exchange(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exchange")
    with running_simulator(folder, "--markets", 100, "--rate", 50, "--tier", "unlimited") as running:
        yield running


@pytest.fixture(scope="module")
def machines(ssh_key, tmp_path_factory):
    public_key = ssh_key.with_suffix(".pub").read_text()
    addresses = {"gatherer_1a": "127.0.1.10", "deduplicator_1a": "127.0.1.20", "production_1a": "127.0.1.30"}
    with running_machines(tmp_path_factory.mktemp("machines"), public_key, **addresses) as running:
        yield running


@pytest.fixture(scope="module")
def site(aws, exchange, machines, ssh_key):
    key = exchange.where["keys"][0]
    secret = {"key_id": key["key_id"], "private_key": Path(key["private_key_file"]).read_text()}
    aws.client("secretsmanager").create_secret(Name="kalshi-data/exchange-key", SecretString=json.dumps(secret))
    of_the_exchange = {"KALSHI_REST_URL": exchange.where["rest"], "KALSHI_WS_URL": exchange.where["websocket"]}
    left_out = not_there_yet()
    given = {
        "platform_ssh_public_key_file": f"{ssh_key}.pub",
        "application_left_out": left_out,
        "application_may_leave_gap": "deduplicator" in left_out,
        "application_settings": {
            "gatherer": {**of_the_exchange, "KALSHI_WS_CONNECTIONS": "10"},
            "deduplicator": of_the_exchange,
        },
    }

    def run(name="site.yml"):
        settings = {**aws.environment, "ANSIBLE_HOST_KEY_CHECKING": "false"}
        return playbook(name, "--private-key", ssh_key, extra=given, **settings)

    return run


@pytest.fixture(scope="module")
def installed(site):
    done = site()
    assert done.succeeded, done.output[-20_000:]
    return done


@pytest.fixture
def gatherer(installed, machines):
    return machines["gatherer-1a"]


def is_ready(address):
    try:
        return requests.get(f"{address}/ready", timeout=5).status_code == requests.codes.ok
    except requests.ConnectionError:
        return False


def rows(machine):
    asked = "SELECT count(*) FROM orderbook_deltas"
    done = machine.run("runuser", "-u", "postgres", "--", "psql", "-p", "5432", "-Atc", asked, "kalshi_ts")
    return int(done.stdout) if done.stdout else 0


def wait_for_more_rows(machine):
    before = rows(machine)
    wait_until(lambda: rows(machine) > before, READY_SECONDS, "another order book change in the database")


def test_the_gatherer_records(gatherer):
    assert is_ready(GATHERER)
    wait_for_more_rows(gatherer)


def test_a_second_run_changes_nothing(installed, site):
    again = site()
    assert again.succeeded, again.output[-20_000:]
    assert again.changed_tasks == []


def test_no_service_failed(installed, machines):
    for machine in machines.values():
        assert machine.run("systemctl", "--failed", "--no-legend", "--plain").stdout == ""


def test_no_secret_is_to_be_seen_on_a_host(aws, gatherer):
    secret = aws.client("secretsmanager").get_secret_value(SecretId="kalshi-data/passwords")["SecretString"]
    shown = gatherer.run("sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ; journalctl --no-pager").stdout
    assert shown
    assert not [password for password in json.loads(secret).values() if password in shown]


def test_prometheus_sees_all_that_runs(installed):
    def down():
        targets = requests.get(f"{PROMETHEUS}/api/v1/targets", timeout=5).json()["data"]["activeTargets"]
        return [target["labels"] for target in targets if target["health"] != "up"]

    left_out = set(not_there_yet())
    wait_until(lambda: all(labels["job"] in left_out for labels in down()), what=f"all targets, without {left_out},")


def test_killed_it_comes_back_and_records(gatherer):
    main = gatherer.run("systemctl", "show", "--property=MainPID", "--value", "kalshi-gatherer").stdout.strip()
    gatherer.run("kill", f"-{signal.SIGKILL}", main)
    wait_until(lambda: not is_ready(GATHERER), what="the end of the gatherer")
    wait_until(lambda: is_ready(GATHERER), READY_SECONDS, "the gatherer")
    wait_for_more_rows(gatherer)


def test_rebooted_it_comes_back_and_records(gatherer):
    gatherer.reboot()
    wait_until(lambda: is_ready(GATHERER), READY_SECONDS, "the gatherer")
    wait_for_more_rows(gatherer)
