"""Check this host: its Python, disks, secret files, and the ops port of its workers."""

import os
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import requests

from app.doctor.check import (
    ARCHIVER,
    DEDUPLICATOR,
    EXPORTER,
    GATHERER,
    MAINTAINER,
    PROCESSES,
    Check,
    failed,
    judged,
    note,
)
from app.errors import OperatorError
from app.postgres.embedded.installation import find_binaries
from app.settings import Settings
from app.settings.loading import FILE_SUFFIX, PREFIX

WORKERS = (GATHERER, MAINTAINER, DEDUPLICATOR, EXPORTER, ARCHIVER)
FREE_MIN_BYTES = 10_000_000_000
GIGABYTE = 1_000_000_000
ANSWER_SECONDS = 3
BY_OTHERS = stat.S_IRWXO


def host_checks(settings: Settings, environment: Mapping[str, str] = os.environ) -> Iterator[Check]:
    yield judged("Python", sys.version.split()[0], PROCESSES, ok=sys.version_info >= (3, 11))
    yield data_folder(settings.data_dir)
    yield disk(settings)
    yield from secret_files(environment)
    yield ops_port(settings.ops_address)
    for name, url in settings.ops_ports().items():
        is_there = _answers(url)
        yield judged(f"ops port of {name}", f"{url} {'answers' if is_there else 'does not answer'}", ok=is_there)
    yield tokens(settings)


def data_folder(folder: Path) -> Check:
    existing = existing_of(folder)
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        fix = "give this user the right to write it, or set KALSHI_DATA_DIR"
        return failed("data folder", f"{existing} cannot be written ({error.strerror}): {fix}", WORKERS)
    return judged("data folder", f"{folder}{'' if folder == existing else ' would be created'}", WORKERS, ok=True)


def disk(settings: Settings) -> Check:
    """Compare the free space with what may still be stored: a gatherer's spool, or the embedded server's data."""
    folder = settings.data_dir
    allowed = {"KALSHI_SPOOL_MAX_BYTES": settings.spool_max_bytes} if settings.ts_dsn else {}
    taken = folder / "spool"
    if not any((settings.ts_dsn, settings.meta_dsn, settings.production_dsn)):
        allowed = {
            "KALSHI_LOCAL_MAX_BYTES": settings.local_max_bytes,
            "KALSHI_PRODUCTION_MAX_BYTES": settings.production_max_bytes,
        }
        taken = folder / "postgres"
    room_bytes = shutil.disk_usage(existing_of(folder)).free
    budget_bytes = sum(allowed.values()) - _size_bytes(taken)
    finding = f"{room_bytes // GIGABYTE} GB free at {folder}"
    if room_bytes < max(budget_bytes, FREE_MIN_BYTES):
        needed = max(budget_bytes, FREE_MIN_BYTES) // GIGABYTE
        finding += f", and {needed} may still come to lie there: make room" + (
            f", or lower {', '.join(allowed)}" if allowed else ""
        )
        return failed("disk", finding)
    return judged("disk", finding, ok=True)


def secret_files(environment: Mapping[str, str]) -> Iterator[Check]:
    """Check who may read the files that settings name. That we may read them was proven when settings were loaded."""
    for name in sorted(environment):
        if not (name.startswith(PREFIX) and name.endswith(FILE_SUFFIX)):
            continue
        path = Path(environment[name])
        mode = stat.S_IMODE(path.stat().st_mode)
        told = f"{path} has mode {mode:04o}"
        fix = "" if not mode & BY_OTHERS else f": every user of this host may read or change it; chmod 600 {path}"
        yield judged(name, told + fix, ok=not fix)


def ops_port(address: str) -> Check:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_server((host, int(port))):
            return judged("ops port", f"{address} is free", WORKERS, ok=True)
    except (OSError, OverflowError) as error:
        if _answers(f"http://{address}"):
            return judged("ops port", f"a worker answers at {address} already", ok=True)
        fix = "set KALSHI_OPS_ADDRESS to another one"
        return failed("ops port", f"{address} cannot be opened ({error}): {fix}", WORKERS)


def tokens(settings: Settings) -> Check:
    if settings.admin_tokens is None:
        return note("tokens", "none: the admin service answers only on this machine, to every user of it")
    return judged("tokens", ", ".join(settings.admin_tokens.holders()), ok=True)


def embedded_server(settings: Settings) -> Check:
    try:
        binaries = find_binaries(settings.postgres_bin)
    except OperatorError as error:
        return failed("embedded PostgreSQL", str(error))
    return judged("embedded PostgreSQL", f"{binaries.version} in {binaries.folder}", ok=True)


def existing_of(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _size_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def _answers(url: str) -> bool:
    """Return whether an ops port of ours answers at the URL, healthy or not."""
    try:
        with requests.Session() as session:
            # No proxy from the environment may be between this host and its own port.
            session.trust_env = False
            answer = session.get(f"{url.rstrip('/')}/health", timeout=ANSWER_SECONDS)
    except requests.RequestException:
        return False
    return answer.status_code in {requests.codes.ok, requests.codes.service_unavailable}
