"""Hosts for the playbooks: containers that boot a whole Debian with systemd, and answer SSH at addresses of the loopback."""

import functools
import hashlib
import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

from tests.processes import wait_until

IMAGES = Path("/var/cache/kalshi-data-tests")
PACKAGES = (
    "ca-certificates,dbus,iproute2,libnss-myhostname,openssh-server,procps,python3,python3-apt,sudo,"
    "systemd,systemd-sysv"
)
# What the playbooks install. The image has it as packages alone, so that each is fetched once.
FETCHED = (
    "chrony logrotate postgresql-15 prometheus prometheus-alertmanager prometheus-node-exporter prometheus-postgres-exporter "
    "python3-psycopg2 python3-venv unattended-upgrades"
)
FETCH = f"chroot $1 apt-get install --quiet --yes --no-install-recommends --download-only {FETCHED}"
# A host that lives for minutes need not wait for its disk.
RECIPE = [
    "--variant=minbase",
    f"--include={PACKAGES}",
    "--dpkgopt=force-unsafe-io",
    "--skip=cleanup/apt/cache",
    f"--customize-hook={FETCH}",
    "bookworm",
]
NSPAWN = ["systemd-nspawn", "--register=no", "--keep-unit", "--console=pipe"]
PORT = 2222
REBOOT = 133  # how nspawn ends when its host asks to be started again
STARTING_SECONDS = 60
STOPPING_SECONDS = 180


def why_impossible():
    """The reason, in words, why no host can be started here; or None."""
    if os.geteuid() != 0:
        return "containers need root"
    missing = [tool for tool in ("systemd-nspawn", "mmdebstrap", "ssh") if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    tried = subprocess.run(
        [*NSPAWN, "--volatile=yes", "--overlay=/etc::/srv", "--directory=/", "/usr/bin/true"],
        capture_output=True,
        text=True,
    )
    return None if tried.returncode == 0 else f"systemd-nspawn: {tried.stderr.strip()}"


@functools.cache
def image():
    """Made once for each recipe."""
    made = IMAGES / f"bookworm-{hashlib.sha256(' '.join(RECIPE).encode()).hexdigest()[:12]}"
    if not made.exists():
        unfinished = made.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mmdebstrap", "--quiet", *RECIPE, unfinished], check=True)
        unfinished.rename(made)
    return made


class Machine:
    def __init__(self, name, address, folder, public_key):
        self.name = name
        self.address = address
        self._folder = folder
        self._root = folder / "root"
        self._public_key = public_key
        self._nspawn = None

    def start(self):
        for layer in ("changed", "work", "root"):
            (self._folder / layer).mkdir(parents=True, exist_ok=True)
        layers = f"lowerdir={image()},upperdir={self._folder / 'changed'},workdir={self._folder / 'work'}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, self._root], check=True)
        self._let_in()
        self._boot()

    def _let_in(self):
        (self._root / "etc/hostname").write_text(f"{self.name}\n")
        listen = f"Port {PORT}\nListenAddress {self.address}\n"
        (self._root / "etc/ssh/sshd_config.d/00-test.conf").write_text(listen)
        subprocess.run(["chroot", self._root, "useradd", "--create-home", "--shell", "/bin/bash", "admin"], check=True)
        (self._root / "etc/sudoers.d/admin").write_text("admin ALL=(ALL) NOPASSWD: ALL\n")
        keys = self._root / "home/admin/.ssh"
        keys.mkdir()
        (keys / "authorized_keys").write_text(self._public_key)
        subprocess.run(["chroot", self._root, "chown", "-R", "admin:admin", "/home/admin"], check=True)

    def _boot(self):
        console = (self._folder / "console.log").open("ab")
        # Without a cgroup tree of its own, of the newer kind, stopping it takes minutes.
        environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        options = ["--boot", "--resolv-conf=copy-host", f"--machine={self.name}", f"--hostname={self.name}"]
        command = [*NSPAWN, *options, "--directory", self._root]
        with console:
            self._nspawn = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=console, stderr=console
            )

    def reboot(self):
        subprocess.run(["nsenter", "--target", str(self.leader()), "--all", "systemctl", "reboot"])
        assert self._nspawn.wait(STARTING_SECONDS) == REBOOT
        self._boot()

    def leader(self):
        """The host's first process, as this machine numbers it."""
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        return int(wait_until(lambda: children.read_text().split(), what=f"the first process of {self.name}")[0])

    def run(self, *command):
        inside = ["nsenter", "--target", str(self.leader()), "--all", *command]
        return subprocess.run(inside, capture_output=True, text=True)

    def ask_to_stop(self):
        if self._nspawn and self._nspawn.poll() is None:
            self._nspawn.send_signal(signal.SIGTERM)

    def end(self):
        if self._nspawn:
            self._nspawn.wait(STOPPING_SECONDS)
        subprocess.run(["umount", "--lazy", self._root])
        shutil.rmtree(self._folder / "changed", ignore_errors=True)

    def end_for_good(self):
        """Lose the host and its disk; started again, it is a new one of the same name and address."""
        self._nspawn.kill()
        self.end()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def running_machines(folder, public_key, addresses):
    """Hosts by name; each has started when its SSH answers the playbook."""
    machines = {name: Machine(name, address, folder / name, public_key) for name, address in addresses.items()}
    try:
        for machine in machines.values():
            machine.start()
        yield machines
    finally:
        for machine in machines.values():
            machine.ask_to_stop()
        for machine in machines.values():
            machine.end()
