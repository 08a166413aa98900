"""Prometheus' tools, of the installed packages or unpacked from Debian's, which start a server when they are installed."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

UNPACKED = Path("/var/cache/kalshi-data-tests/prometheus")
PACKAGES = {"promtool": "prometheus", "amtool": "prometheus-alertmanager"}


def program(name):
    """Return where it is, or None where it cannot be had."""
    if found := shutil.which(name):
        return found
    unpacked = UNPACKED / "usr/bin" / name
    if not unpacked.exists() and os.geteuid() == 0 and shutil.which("apt-get"):
        _unpack(PACKAGES[name], unpacked)
    return str(unpacked) if unpacked.exists() else None


def promtool():
    return program("promtool")


def _unpack(package, wanted):
    """Put the package's program where it is wanted, once: the test workers of a new machine all ask at the same time."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with (UNPACKED / f"{package}.lock").open("w") as lock, tempfile.TemporaryDirectory(dir=UNPACKED) as folder:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if wanted.exists():
            return
        download = subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, capture_output=True)
        for file in Path(folder).glob("*.deb") if download.returncode == 0 else ():
            subprocess.run(["dpkg", "-x", file, folder], check=True)
            (Path(folder) / "usr/bin" / wanted.name).rename(wanted)
