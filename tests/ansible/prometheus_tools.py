"""promtool, of the installed package or unpacked from Debian's, which starts a server when it is installed."""

import os
import shutil
import subprocess
from pathlib import Path

UNPACKED = Path("/var/cache/kalshi-data-tests/prometheus")


def promtool():
    """Where it is; None where it cannot be had."""
    if found := shutil.which("promtool"):
        return found
    tool = UNPACKED / "usr/bin/promtool"
    if not tool.exists() and os.geteuid() == 0 and shutil.which("apt-get"):
        _unpack()
    return str(tool) if tool.exists() else None


def _unpack():
    UNPACKED.mkdir(parents=True, exist_ok=True)
    download = subprocess.run(["apt-get", "download", "-qq", "prometheus"], cwd=UNPACKED, capture_output=True)
    for package in UNPACKED.glob("prometheus_*.deb") if download.returncode == 0 else ():
        subprocess.run(["dpkg", "-x", package, UNPACKED], check=True)
