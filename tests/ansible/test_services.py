"""The systemd units as they would lie on a host, looked at by systemd's own tools."""

import re
import shutil
import subprocess
from pathlib import Path

import jinja2
import pytest
import yaml

from app.settings.loading import FILE_SUFFIX, known_settings
from tests.ansible.places import ANSIBLE
from tests.ansible.test_alerts import ALERTS

ROLE = ANSIBLE / "roles/application"
DEFAULTS = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
VARIABLES = yaml.safe_load((ROLE / "vars/main.yml").read_text())
SERVICES = VARIABLES["application_services"]
OTHERS = sorted((ANSIBLE / "roles").glob("*/templates/*.service.j2"))
# Of 10, as systemd-analyze counts; ours is 1.1.
MOST_EXPOSURE = 2.5
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def unit(service):
    services = {**SERVICES, service: {**SERVICES[service], "credentials": credentials(service)}}
    known = {**DEFAULTS, **VARIABLES, "application_root": "/opt/kalshi-data", "application_services": services}
    return rendered(ROLE / "templates/service.j2", **known, application_service=service)


def rendered(template, **known):
    """What only a host knows is left empty."""
    return jinja2.Template(template.read_text(), trim_blocks=True, undefined=jinja2.ChainableUndefined).render(known)


def credentials(service):
    """All that it may be given, wherever it runs."""
    named = SERVICES[service]["credentials"]
    return named if isinstance(named, list) else re.findall(r"\['(\w+)'\]", named)


@pytest.fixture(params=sorted(SERVICES))
def service(request):
    return request.param


@pytest.fixture(params=[*sorted(SERVICES), *OTHERS], ids=lambda kind: getattr(kind, "name", kind))
def unit_file(request, tmp_path):
    text = rendered(request.param) if isinstance(request.param, Path) else unit(request.param)
    # The accounts and programs are the host's; here any that exist do.
    text = re.sub(r"^(User|Group)=.*$", r"\1=daemon", text, flags=re.MULTILINE)
    file = tmp_path / "kalshi-unit.service"
    file.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", text))
    return file


@needs_systemd
def test_systemd_understands_every_line(unit_file):
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit_file], capture_output=True, text=True)
    said = [line for line in (done.stdout + done.stderr).splitlines() if unit_file.name in line]
    assert said == []


@needs_systemd
def test_it_is_hardly_exposed(unit_file):
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSURE * 10:.0f}", unit_file]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_secret_is_in_an_environment(service):
    secret = {setting.variable for setting in known_settings() if setting.is_secret} | {
        "KALSHI_GATHERER_DSNS",
        "KALSHI_GATHERER_META_DSNS",
    }
    given = re.findall(r"^Environment=(\w+)=(.*)$", unit(service), re.MULTILINE)
    assert [name for name, _ in given if name in secret or name in SERVICES[service]["environment"]] == []
    assert all(name.endswith(FILE_SUFFIX) and where.startswith("%d/") for name, where in given)
    assert not secret & set(SERVICES[service]["environment"])


def test_every_setting_it_is_given_is_one():
    given = {credential["setting"] for credential in VARIABLES["application_credentials"].values()}
    given |= {name for service in SERVICES.values() for name in service["environment"]}
    assert given - {setting.variable for setting in known_settings()} == set()


def test_a_gatherer_whose_databases_are_full_has_room_left_that_no_alert_asks_for():
    known, postgresql, base = (
        yaml.safe_load((ANSIBLE / f"roles/{role}/defaults/main.yml").read_text())
        for role in ("platform", "postgresql", "base")
    )
    disk = known["platform_gatherer_size"]["disk_gigabytes"] * 2**30
    budget = int(jinja2.Template(DEFAULTS["application_local_max_bytes"]).render(known))
    logs = (postgresql["postgresql_wal_gigabytes"][name] for name in ("timeseries", "metadata"))
    journal = int(base["base_journal_bytes"].removesuffix("G"))
    releases = DEFAULTS["application_releases_kept"]
    system = 4
    used = budget + (sum(logs) + journal + releases + system) * 2**30
    # The file system reserves a twentieth, of which nobody is told that it is free.
    free = 0.95 * disk - used
    asked_for = re.search(r"< ([0-9.]+) or", ALERTS["DiskFilling"]["expr"])
    assert free / disk > float(asked_for.group(1))
