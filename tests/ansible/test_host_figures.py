"""What a host tells of its certificates and updates, by the script that it runs, of real files and a real server's TLS."""

import datetime as dt
import os
import shutil
import socket
import subprocess
from contextlib import contextmanager

import pytest
import trustme

from tests.ansible.places import ANSIBLE
from tests.ansible.tls_in_front import tls_in_front

SCRIPT = ANSIBLE / "roles/node_exporter/files/host-figures"
needs_tools = pytest.mark.skipif(
    not (shutil.which("openssl") and shutil.which("apt-get")), reason="openssl or apt-get is not installed"
)
ENDS_OF_SERVED = dt.datetime(2031, 5, 6, 7, 8, 9, tzinfo=dt.UTC)
ENDS_OF_FILE = dt.datetime(2033, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


@contextmanager
def serving(certificate, path):
    """A database as far as its certificate: nobody stands behind."""
    listening = socket.create_server(("127.0.0.1", 0))
    nobody = socket.socket(socket.AF_UNIX)
    nobody.bind(str(path))
    nobody.listen()
    with nobody, tls_in_front(listening, certificate, str(path)):
        yield listening.getsockname()[1]


def told(folder, *served, **more):
    known = {"CERTIFICATES": folder / "tls", "TEXTFILES": folder, "RESTART_WANTED": folder / "reboot-required", **more}
    environment = {**os.environ, **{name: str(value) for name, value in known.items()}}
    subprocess.run(["sh", SCRIPT, *served], env=environment, check=True)
    lines = (folder / "kalshi-host.prom").read_text().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tls").mkdir()
    issued = trustme.CA().issue_cert("gatherer-1a", not_after=ENDS_OF_FILE)
    issued.cert_chain_pems[0].write_to_path(tmp_path / "tls/host.crt")
    return tmp_path


@needs_tools
def test_it_tells_what_is_served_beside_what_lies_in_the_file(folder):
    served = trustme.CA().issue_cert("gatherer-1a", not_after=ENDS_OF_SERVED)
    with serving(served, folder / "s") as port:
        figures = told(folder, f"timeseries=127.0.0.1:{port}")
    assert figures['kalshi_served_certificate_expires_timestamp_seconds{database="timeseries"}'] == (
        ENDS_OF_SERVED.timestamp()
    )
    assert figures['kalshi_certificate_expires_timestamp_seconds{file="host.crt"}'] == ENDS_OF_FILE.timestamp()


@needs_tools
def test_a_database_that_does_not_answer_costs_the_others_nothing(folder):
    with socket.socket() as refused:
        refused.bind(("127.0.0.1", 0))
        figures = told(folder, f"timeseries=127.0.0.1:{refused.getsockname()[1]}")
    assert not [name for name in figures if name.startswith("kalshi_served")]
    assert figures["kalshi_restart_wanted_seconds"] == 0
    assert "kalshi_packages_waiting" in figures


@needs_tools
def test_it_tells_for_how_long_a_restart_has_been_waited_for(folder):
    wanted = folder / "reboot-required"
    wanted.touch()
    os.utime(wanted, (1_800_000_000, wanted.stat().st_mtime - 3_600))
    assert told(folder)["kalshi_restart_wanted_seconds"] >= 3_600
