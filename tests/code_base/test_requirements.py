"""What production installs is named once, and locked to the very files."""

import re

from tests.processes import ROOT

NAMED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)


def named(file):
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in NAMED.findall((ROOT / file).read_text())}


def test_the_lock_has_what_the_requirements_name():
    assert named("requirements.lock") == named("requirements.txt")


def test_every_package_is_locked_to_files():
    entries = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text())
    locked = [entry for entry in entries if "==" in entry.splitlines()[0]]
    assert len(locked) == len(named("requirements.lock"))
    assert all("--hash=sha256:" in entry for entry in locked)
