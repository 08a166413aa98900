"""A file for a bug report: the report, and a few messages and objects as they came. Never a key, signature or password.

It holds data of the exchange, whose agreement limits to whom it may be shown.
"""

import io
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from app.environment import known_settings
from app.errors import OperatorError
from app.rehearsal.report import Report
from app.secret import Secret
from app.settings import Settings

HIDDEN = b"***"
# A signature, or the lines of a key; no ticker and no word is as long.
LONG = re.compile(rb"[A-Za-z0-9+/=_-]{86,}")
SHORTEST_SECRET = 6


def write_bundle(path: Path, report: Report, settings: Settings) -> None:
    """Readable by its owner alone. What is there already is replaced."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            path.chmod(0o600)
            with tarfile.open(fileobj=file, mode="w:gz") as bundle:
                for name, content in _parts(report):
                    _add(bundle, name, without_secrets(content, settings))
    except OSError as error:
        raise OperatorError(f"{path} cannot be written.", str(error), "name another place by --bundle.") from error


def without_secrets(content: bytes, settings: Settings) -> bytes:
    for secret in _secrets(settings):
        content = content.replace(secret, HIDDEN)
    return LONG.sub(HIDDEN, content)


def _secrets(settings: Settings) -> Iterator[bytes]:
    """Return the key's id, and every line of what is secret: JSON writes line ends otherwise."""
    found = [settings.api_key_id or ""]
    for setting in known_settings():
        value = getattr(settings, setting.field)
        if isinstance(value, Secret):
            found += value.reveal().splitlines()
    return (each.encode() for each in sorted(found, key=len, reverse=True) if len(each) >= SHORTEST_SECRET)


def _parts(report: Report) -> Iterator[tuple[str, bytes]]:
    yield "report.txt", "\n".join(report.lines()).encode() + b"\n"
    yield "report.json", msgspec.json.format(msgspec.json.encode(report.facts()), indent=2) + b"\n"
    yield (
        "rest.jsonl",
        _lines({"asked": each.name, "object": sample} for each in report.probed for sample in each.samples),
    )
    yield "frames.jsonl", _lines(_frames(report))


def _frames(report: Report) -> Iterator[dict[str, object]]:
    for record in report.records:
        for kind, frames in record.samples.items():
            yield from ({"socket": record.conn, "type": kind, "frame": frame} for frame in frames)
        yield from ({"socket": record.conn, "reason": each.reason, "frame": each.frame} for each in record.unfit)


def _lines(objects: Iterable[dict[str, object]]) -> bytes:
    """Write what came as text: a frame may be no JSON."""
    told = (
        {name: value.decode(errors="replace") if isinstance(value, bytes) else value for name, value in each.items()}
        for each in objects
    )
    return b"".join(msgspec.json.encode(each) + b"\n" for each in told)


def _add(bundle: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(f"rehearsal/{name}")
    member.size = len(content)
    bundle.addfile(member, io.BytesIO(content))
