"""Prometheus' tools, of the installed packages or unpacked from Debian's, which start a server when they are installed."""

import os
import shutil
import subprocess
from pathlib import Path

UNPACKED = Path("/var/cache/kalshi-data-tests/prometheus")
PACKAGES = {"promtool": "prometheus", "amtool": "prometheus-alertmanager"}


def program(name):
    """Return where it is, or None where it cannot be had."""
    if found := shutil.which(name):
        return found
    unpacked = UNPACKED / "usr/bin" / name
    if not unpacked.exists() and os.geteuid() == 0 and shutil.which("apt-get"):
        _unpack(PACKAGES[name])
    return str(unpacked) if unpacked.exists() else None


def promtool():
    return program("promtool")


def _unpack(package):
    UNPACKED.mkdir(parents=True, exist_ok=True)
    download = subprocess.run(["apt-get", "download", "-qq", package], cwd=UNPACKED, capture_output=True)
    for file in UNPACKED.glob(f"{package}_*.deb") if download.returncode == 0 else ():
        subprocess.run(["dpkg", "-x", file, UNPACKED], check=True)
