"""site.yml from nothing, over SSH onto hosts that boot: a made-up AWS, a simulated exchange, and all the rest as it is."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
import requests

from app.runtime.secrets import TokenRole, new_token
from tests.ansible.machines import running_machines, why_impossible
from tests.ansible.outside import listening_outside
from tests.ansible.playbooks import HOSTS_WANTED, WHY_NOT, playbook
from tests.ansible.test_figures import ASKED, OF_A_HOST, PARTS
from tests.ansible.test_preflight import TOLD
from tests.processes import ROOT, wait_until
from tests.simulator.running import running_simulator

IMPOSSIBLE = why_impossible() if HOSTS_WANTED else WHY_NOT
pytestmark = pytest.mark.skipif(IMPOSSIBLE is not None, reason=f"no host was started: {IMPOSSIBLE}")

GATHERER, ANOTHER = "gatherer-1a", "gatherer-1b"
# make test-ansible has one, make test-ansible-long two.
GATHERERS = {
    name: f"{number}.10"
    for number, name in enumerate([GATHERER, ANOTHER][: int(os.environ.get("ANSIBLE_GATHERERS", "1"))], 1)
}
DEDUPLICATOR = "deduplicator-1a"
PRODUCTION = "production-1a"
PROCESSES = {
    **{name: f"http://127.0.{address}:9401" for name, address in GATHERERS.items()},
    **{f"maintainer of {name}": f"http://127.0.{address}:9404" for name, address in GATHERERS.items()},
    **{f"archiver of {name}": f"http://127.0.{address}:9405" for name, address in GATHERERS.items()},
    "deduplicator": "http://127.0.1.20:9402",
    "exporter": "http://127.0.1.20:9403",
    "maintainer of production": "http://127.0.1.20:9404",
    "admin": "http://127.0.1.20:8000",
}
PROMETHEUS = "http://127.0.1.20:9090"
READY_SECONDS = 180
needs_another_gatherer = pytest.mark.skipif(
    len(GATHERERS) == 1, reason="the only gatherer is not restarted for a release: make test-ansible-long"
)
# Of 10, as systemd-analyze counts.
MOST_EXPOSURE = 2.5


@pytest.fixture(scope="module")
def exchange(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exchange")
    with running_simulator(folder, "--markets", 100, "--rate", 50, "--tier", "unlimited", start=None) as running:
        yield running


@pytest.fixture(scope="module")
def machines(ssh_key, tmp_path_factory):
    public_key = ssh_key.with_suffix(".pub").read_text()
    gatherers = {name: f"127.0.{address}" for name, address in GATHERERS.items()}
    addresses = {**gatherers, DEDUPLICATOR: "127.0.1.20", PRODUCTION: "127.0.1.30"}
    with running_machines(tmp_path_factory.mktemp("machines"), public_key, addresses) as running:
        yield running


@pytest.fixture(scope="module")
def token():
    """What ada presents, and what is known of it."""
    return new_token("ada", TokenRole.OPERATE)


@pytest.fixture(scope="module")
def release():
    """Of now: whoever works on while the tests run changes nothing of them."""
    return commit("HEAD")


def commit(name):
    return subprocess.run(
        ["git", "rev-parse", name], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture(scope="module")
def outside():
    with listening_outside() as listening:
        yield listening


@pytest.fixture(scope="module")
def known_hosts(tmp_path_factory):
    return tmp_path_factory.mktemp("met") / "known_hosts"


@pytest.fixture(scope="module")
def site(aws, exchange, machines, ssh_key, token, release, outside, known_hosts):
    key = exchange.where["keys"][0]
    secrets = {
        "exchange-key": json.dumps(
            {"key_id": key["key_id"], "private_key": Path(key["private_key_file"]).read_text()},
        ),
        "admin-tokens": token[1].entry,
    }
    for name, secret in secrets.items():
        aws.client("secretsmanager").create_secret(Name=f"kalshi-data/{name}", SecretString=secret)
    of_the_exchange = {"KALSHI_REST_URL": exchange.where["rest"], "KALSHI_WS_URL": exchange.where["websocket"]}
    given = {
        **TOLD,
        "alertmanager_heartbeat_url": outside.url,
        "platform_ssh_public_key_file": f"{ssh_key}.pub",
        "platform_gatherers": [
            {"name": name, "zone": f"us-east-{name.removeprefix('gatherer-')}", "address": f"10.0.{address}"}
            for name, address in GATHERERS.items()
        ],
        "configure_databases_one_by_one": False,
        "application_release": release,
        "application_settings": {
            "gatherer": {**of_the_exchange, "KALSHI_WS_CONNECTIONS": "10"},
            "deduplicator": of_the_exchange,
        },
    }

    def run(name="site.yml", **more):
        settings = {**aws.environment, "ANSIBLE_SSH_COMMON_ARGS": f"-o UserKnownHostsFile={known_hosts}"}
        return playbook(name, "--private-key", ssh_key, extra={**given, **more}, **settings)

    return run


@pytest.fixture(scope="module")
def installed(site):
    done = site()
    assert done.succeeded, done.output[-20_000:]
    return done


@pytest.fixture
def hosts(installed, machines):
    return machines


def is_ready(process):
    try:
        return requests.get(f"{PROCESSES[process]}/ready", timeout=5).status_code == requests.codes.ok
    except requests.ConnectionError:
        return False


def asked_by(token, method, path, **options):
    headers = {"Authorization": f"Bearer {token[0]}"} if token else {}
    return requests.request(method, f"{PROCESSES['admin']}/admin{path}", headers=headers, timeout=30, **options)


def changes(host, port, database):
    asked = "SELECT count(*) FROM orderbook_deltas"
    done = host.run("runuser", "-u", "postgres", "--", "psql", "-p", str(port), "-Atc", asked, database)
    return int(done.stdout) if done.stdout else 0


def main_process(host, unit):
    return host.run("systemctl", "show", "--property=MainPID", "--value", unit).stdout.strip()


def wait_for_more_changes(hosts):
    """Recorded, and merged."""
    recorded = [(name, 5432, "kalshi_ts") for name in GATHERERS]
    for name, port, database in (*recorded, (PRODUCTION, 5434, "kalshi_production")):
        before = changes(hosts[name], port, database)
        wait_until(lambda: changes(hosts[name], port, database) > before, READY_SECONDS, f"more changes in {database}")


def test_every_process_is_ready_and_works(hosts):
    assert [process for process in PROCESSES if not is_ready(process)] == []
    wait_for_more_changes(hosts)


def test_a_second_run_changes_nothing_nor_the_release(installed, site):
    again = site(application_release="")
    assert again.succeeded, again.output[-20_000:]
    assert again.changed_tasks == []


def test_no_service_failed(hosts):
    for host in hosts.values():
        failed = host.run("systemctl", "--failed", "--no-legend", "--plain").stdout
        assert failed == "", host.run("journalctl", "--no-pager", "--unit", failed.split()[0]).stdout


def test_our_services_are_hardly_exposed(hosts):
    for host in hosts.values():
        listed = host.run("systemctl", "list-units", "--all", "--type=service", "--no-legend", "--plain", "kalshi-*")
        units = [line.split()[0] for line in listed.stdout.splitlines()]
        assert units
        for unit in units:
            judged = host.run("systemd-analyze", "security", f"--threshold={MOST_EXPOSURE * 10:.0f}", unit)
            assert judged.returncode == 0, judged.stdout


def test_no_secret_is_to_be_seen_on_a_host(aws, hosts):
    secret = aws.client("secretsmanager").get_secret_value(SecretId="kalshi-data/passwords")["SecretString"]
    for host in hosts.values():
        shown = host.run("sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ; journalctl --no-pager").stdout
        assert shown
        assert not [password for password in json.loads(secret).values() if password in shown]


def test_who_has_a_token_sees_the_gatherers_and_may_change(hosts, token):
    assert asked_by(None, "GET", "/gatherers").status_code == requests.codes.unauthorized
    connections = asked_by(token, "GET", "/connections").json()
    assert all(name in json.dumps(connections) for name in GATHERERS)
    body = {"gatherer": GATHERER, "table": "trades", "dry_run": False}
    rewound = asked_by(token, "POST", "/cursors/rewind", json=body)
    assert rewound.status_code == requests.codes.ok, rewound.text


@pytest.mark.parametrize("name", [GATHERER, DEDUPLICATOR])
def test_an_operators_command_knows_the_hosts_databases(hosts, name):
    done = hosts[name].run("/usr/local/sbin/kalshi-data", "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "schema" in done.stdout
    assert f"this host can run: gatherer {'yes' if name == GATHERER else 'no'}" in done.stdout


def test_prometheus_sees_all_that_runs(installed):
    def down():
        targets = requests.get(f"{PROMETHEUS}/api/v1/targets", timeout=5).json()["data"]["activeTargets"]
        return [target["scrapeUrl"] for target in targets if target["health"] != "up"] if targets else ["everything"]

    wait_until(lambda: not down(), what="every target")


def test_every_figure_that_dashboards_and_alerts_ask_for_is_given(hosts):
    told = "".join(requests.get(f"{address}/metrics", timeout=30).text for address in PROCESSES.values())
    given = {PARTS.sub("", name) for name in re.findall(r"^# HELP (\S+)", told, re.MULTILINE)}
    assert sorted(ASKED - given - OF_A_HOST) == []


def test_a_host_tells_of_its_certificates_and_updates(hosts):
    # It looks once an hour, and looked first before there was a database.
    looked = hosts[GATHERER].run("systemctl", "start", "kalshi-host-figures")
    assert looked.returncode == 0, looked.stderr
    told = requests.get("http://127.0.1.10:9100/metrics", timeout=30).text
    assert {name for name in OF_A_HOST if f"\n{name}" in told} == OF_A_HOST
    assert 'kalshi_served_certificate_expires_timestamp_seconds{database="timeseries"}' in told


def test_outside_hears_that_alerts_would_come(installed, outside):
    before = len(outside.calls)
    wait_until(lambda: len(outside.calls) > before, what="another call")


@pytest.mark.parametrize(
    ("name", "process", "unit"),
    [(GATHERER, GATHERER, "kalshi-gatherer"), (DEDUPLICATOR, "deduplicator", "kalshi-deduplicator")],
)
def test_killed_it_comes_back_and_works(hosts, name, process, unit):
    hosts[name].run("kill", f"-{signal.SIGKILL}", main_process(hosts[name], unit))
    wait_until(lambda: not is_ready(process), what=f"the end of the {process}")
    wait_until(lambda: is_ready(process), READY_SECONDS, f"the {process}")
    wait_for_more_changes(hosts)


@pytest.mark.parametrize("name", [GATHERER, DEDUPLICATOR])
def test_rebooted_all_come_back_and_work(hosts, name):
    hosts[name].reboot()
    for process in PROCESSES:
        wait_until(lambda: is_ready(process), READY_SECONDS, f"the {process}")
    wait_for_more_changes(hosts)


@needs_another_gatherer
def test_what_somebody_changed_on_a_host_is_put_right_there_alone(hosts, site):
    changed = {GATHERER: "/etc/kalshi-data/gatherer.env", ANOTHER: "/etc/postgresql/15/timeseries/pg_hba.conf"}
    before = {name: hosts[name].run("cat", file).stdout for name, file in changed.items()}
    for name, file in changed.items():
        hosts[name].run("sh", "-c", f"echo '# by hand' >> {file}")
    done = site()
    assert done.succeeded, done.output[-20_000:]
    assert {name for name, count in done.changed.items() if count} == changed.keys(), done.changed_tasks
    assert {name: hosts[name].run("cat", file).stdout for name, file in changed.items()} == before
    wait_for_more_changes(hosts)


def running_on(hosts, *names):
    return {hosts[name].run("readlink", "/opt/kalshi-data/current").stdout for name in names}


def served_by(name):
    address = f"127.0.{GATHERERS[name]}:5432"
    command = ["openssl", "s_client", "-starttls", "postgres", "-connect", address]
    told = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
    return re.search(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----", told).group()


@needs_another_gatherer
def test_a_certificate_and_every_password_are_rotated_while_all_goes_on(aws, hosts, site):
    secrets = aws.client("secretsmanager")
    passwords = json.loads(secrets.get_secret_value(SecretId="kalshi-data/passwords")["SecretString"])
    rotated = json.dumps({name: f"{password[::-1]}" for name, password in passwords.items()})
    secrets.put_secret_value(SecretId="kalshi-data/passwords", SecretString=rotated)
    before = served_by(GATHERER)
    hosts[GATHERER].run("sh", "-c", "rm /etc/kalshi-data/tls/host.*")
    configured = site("configure.yml")
    assert configured.succeeded, configured.output[-20_000:]
    assert served_by(GATHERER) != before
    assert before in hosts[DEDUPLICATOR].run("cat", "/etc/kalshi-data/tls/gatherers.crt").stdout
    deployed = site("deploy.yml", application_release="")
    assert deployed.succeeded, deployed.output[-20_000:]
    trusted = hosts[DEDUPLICATOR].run("cat", "/etc/kalshi-data/tls/gatherers.crt").stdout
    assert [name for name in GATHERERS if served_by(name) not in trusted] == []
    assert before not in trusted
    wait_for_more_changes(hosts)


@needs_another_gatherer
def test_packages_are_updated_on_one_host_after_the_other_and_all_goes_on(hosts, site):
    """As far as a container goes, which cannot restart the kernel that it shares."""
    updated = site("update.yml")
    assert updated.succeeded, updated.output[-20_000:]
    for process in PROCESSES:
        assert is_ready(process), process
    wait_for_more_changes(hosts)


@needs_another_gatherer
def test_an_earlier_release_is_one_variable_away(hosts, site, release):
    earlier = commit(f"{release}~1")
    done = site("deploy.yml", application_release=earlier)
    assert done.succeeded, done.output[-20_000:]
    assert running_on(hosts, *GATHERERS, DEDUPLICATOR) == {f"/opt/kalshi-data/releases/{earlier[:12]}\n"}
    for process in PROCESSES:
        wait_until(lambda: is_ready(process), READY_SECONDS, f"the {process}")
    wait_for_more_changes(hosts)


@pytest.mark.parametrize("process", ["gatherer", "deduplicator"])
def test_settings_that_a_release_does_not_take_change_nothing(hosts, site, process):
    def state():
        show = "systemctl show --property=MainPID kalshi-gatherer kalshi-deduplicator"
        shown = f"{show}; cat /etc/kalshi-data/*.env"
        return [
            (name, line) for name, host in hosts.items() for line in host.run("sh", "-c", shown).stdout.splitlines()
        ]

    before = state()
    refused = site("deploy.yml", application_settings={process: {"KALSHI_NO_SUCH_SETTING": "1"}})
    assert not refused.succeeded
    assert "KALSHI_NO_SUCH_SETTING" in refused.output
    assert state() == before


@needs_another_gatherer
def test_the_deduplicators_host_is_missed_outside_and_made_anew(hosts, machines, site, outside, known_hosts):
    running, recording = running_on(hosts, *GATHERERS), main_process(hosts[GATHERER], "kalshi-gatherer")
    hosts[DEDUPLICATOR].end_for_good()
    wait_until(lambda: outside.silent_seconds() > 90, what="an end of the calls")
    machines[DEDUPLICATOR].start()
    # As the runbook says of an address that was met before.
    subprocess.run(["ssh-keygen", "-q", "-f", known_hosts, "-R", "[127.0.1.20]:2222"], check=True)
    for name in ("configure.yml", "deploy.yml"):
        done = site(name, application_release="")
        assert done.succeeded, done.output[-20_000:]
    assert running_on(hosts, DEDUPLICATOR) == running
    assert main_process(hosts[GATHERER], "kalshi-gatherer") == recording
    wait_for_more_changes(hosts)
    wait_until(lambda: outside.silent_seconds() < 60, what="the calls' return")
