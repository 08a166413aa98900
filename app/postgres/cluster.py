import shutil
import subprocess
from pathlib import Path

from app import logs
from app.errors import ServerError
from app.postgres.account import Account
from app.postgres.binaries import Binaries

log = logs.get(__name__)

USER = "kalshi"
FIRST_WITH_BUILTIN_LOCALE = 17


def ensure_cluster(data: Path, binaries: Binaries, account: Account | None) -> None:
    """Makes the data folder, once. An interrupted attempt leaves nothing that looks finished."""
    if data.exists():
        _refuse_other_version(data, binaries)
        return
    unfinished = data.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if account is not None:
        account.own(unfinished)
    log.info("creating a database cluster", folder=str(data))
    _initdb(unfinished, binaries, account)
    unfinished.rename(data)


def _initdb(data: Path, binaries: Binaries, account: Account | None) -> None:
    # ICU and libc locales differ between builds; the built-in one sorts the same everywhere.
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    if binaries.major_version < FIRST_WITH_BUILTIN_LOCALE:
        locale = ["--locale=C"]
    command = [str(binaries.initdb), "--pgdata", str(data), "--username", USER, "--encoding=UTF8"]
    # Whoever may open the folder of its socket is trusted. Over TCP nobody is, should it ever listen there.
    command += ["--auth-local=trust", "--auth-host=reject"]
    command += ["--data-checksums", "--no-instructions", *locale]
    identity = {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}
    done = subprocess.run(command, capture_output=True, text=True, cwd=data, check=False, **identity)  # type: ignore[call-overload]
    if done.returncode != 0:
        raise ServerError("initdb failed.", (done.stderr or done.stdout).strip(), "look at the reason above.")


def _refuse_other_version(data: Path, binaries: Binaries) -> None:
    version_file = data / "PG_VERSION"
    if not version_file.exists():
        raise ServerError(
            f"{data} holds no database cluster.",
            f"{version_file} is missing.",
            "move the folder away, or what is in it.",
        )
    made_by = int(version_file.read_text())
    if made_by != binaries.major_version:
        raise ServerError(
            f"The data in {data} was made by PostgreSQL {made_by}, and the server here is {binaries.major_version}.",
            f"Its programs are in {binaries.folder}.",
            f"set KALSHI_POSTGRES_BIN to a PostgreSQL {made_by}, or KALSHI_DATA_DIR to another folder.",
        )
