"""Report a rehearsal: verdicts with their evidence, the account's limits, and samples of the exchange's data."""

import io
import re
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from app.errors import OperatorError
from app.rehearsal.assumptions import ASSUMPTIONS, Assumption, Judgement, Verdict, not_judged
from app.rehearsal.rest_probe import Probed
from app.rehearsal.socket_record import SocketRecord
from app.runtime.secrets import Secret
from app.settings import Settings
from app.settings.loading import known_settings

NOT_REACHED = "the rehearsal did not come that far"


class RehearsalReport(NamedTuple):
    version: str
    started_at: str
    rest_url: str
    ws_url: str
    account: dict[str, object]
    markets: list[str]
    verdicts: list[Verdict]
    probed: list[Probed]
    records: list[SocketRecord]

    @property
    def is_sound(self) -> bool:
        return all(verdict.answer is not Judgement.NO for verdict in self.verdicts)

    def facts(self) -> dict[str, object]:
        """Return the report as an object for programs."""
        return {
            "version": self.version,
            "started_at": self.started_at,
            "rest_url": self.rest_url,
            "ws_url": self.ws_url,
            "account": self.account,
            "markets": self.markets,
            "verdicts": [_verdict(verdict) for verdict in self.verdicts],
            "endpoints": [_endpoint(each) for each in self.probed],
            "messages": self.messages(),
            "unknown_fields": self.unknown_fields(),
            "sockets_that_ended": self.ended(),
        }

    def ended(self) -> list[str]:
        """Return why sockets ended before they were stopped. What they received until then is judged too."""
        return [f"socket {record.conn}: {record.ended}" for record in self.records if record.ended]

    def messages(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for record in self.records:
            counts.update(record.counts)
        return dict(sorted(counts.items()))

    def unknown_fields(self) -> dict[str, list[str]]:
        """Return the fields that are not in known_fields.py (newer than October 2026), by object or message type."""
        found = {each.name: set(each.unknown_fields) for each in self.probed if each.unknown_fields}
        for record in self.records:
            for kind, names in record.unknown_fields.items():
                found[kind] = found.get(kind, set()) | names
        return {name: sorted(fields) for name, fields in sorted(found.items())}

    def lines(self) -> Iterator[str]:
        """Yield the report as lines for a person."""
        yield f"kalshi-data {self.version}, {self.started_at}: {self.rest_url} and {self.ws_url}"
        yield "account: " + ", ".join(f"{name} {value}" for name, value in self.account.items())
        yield f"markets looked at: {', '.join(self.markets) or 'none'}"
        yield "messages: " + (", ".join(f"{count} {kind}" for kind, count in self.messages().items()) or "none")
        for name, fields in self.unknown_fields().items():
            yield f"unknown fields of {name}: {', '.join(fields)}"
        yield from (f"ended early: {each}" for each in self.ended())
        for verdict in self.verdicts:
            yield from _lines(verdict)
        answers = Counter(verdict.answer for verdict in self.verdicts)
        yield ", ".join(f"{answers[answer]} {answer.value}" for answer in Judgement)


def complete(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return a verdict for each assumption, in the order of the list; "not judged" if none was reached."""
    found = {verdict.assumption: verdict for verdict in verdicts}
    unlisted = found.keys() - {each.key for each in ASSUMPTIONS}
    if unlisted:
        raise KeyError(f"assumptions.py does not have {sorted(unlisted)}")
    return [found.get(each.key) or not_judged(each.key, NOT_REACHED) for each in ASSUMPTIONS]


def _assumption(verdict: Verdict) -> Assumption:
    return next(each for each in ASSUMPTIONS if each.key == verdict.assumption)


def _verdict(verdict: Verdict) -> dict[str, object]:
    assumption = _assumption(verdict)
    return {
        "assumption": verdict.assumption,
        "statement": assumption.statement,
        "answer": verdict.answer.value,
        "evidence": verdict.evidence,
        "relied_on_by": [file for file, _ in assumption.relied_on],
    }


def _lines(verdict: Verdict) -> Iterator[str]:
    assumption = _assumption(verdict)
    yield f"{verdict.answer.value:10} {verdict.assumption}: {assumption.statement} ({verdict.evidence})"
    if verdict.answer is Judgement.NO:
        yield f"{'':10} {assumption.otherwise} Relied on by {', '.join(file for file, _ in assumption.relied_on)}."


def _endpoint(each: Probed) -> dict[str, object]:
    unfit: Sequence[str] = each.unfit[:10]
    return {
        "name": each.name,
        "objects": each.objects,
        "unfit": len(each.unfit),
        "why_unfit": unfit,
        "unknown_fields": each.unknown_fields,
        "error": each.error,
    }


# A file for a bug report: the report, and a few original messages and objects. It never holds a key, signature or
# password.
#
# It holds data of the exchange, whose agreement limits who may see it.

HIDDEN = b"***"
# A signature or a line of a key. No ticker and no word is that long.
LONG = re.compile(rb"[A-Za-z0-9+/=_-]{86,}")
SHORTEST_SECRET = 6  # hiding shorter values would hide ordinary text


def prepare_bundle(path: Path) -> None:
    """Raise OperatorError if the bundle could not be written: known before the minutes of the rehearsal."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def write_bundle(path: Path, report: RehearsalReport, settings: Settings) -> None:
    """Write the bundle, readable by its owner only. An existing file is replaced."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            # Before anything is written to it.
            path.chmod(0o600)
            with tarfile.open(fileobj=file, mode="w:gz") as bundle:
                for name, content in _parts(report):
                    _add(bundle, name, without_secrets(content, settings))
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> OperatorError:
    return OperatorError(f"{path} cannot be written.", str(error), "give another path with --bundle.")


def without_secrets(content: bytes, settings: Settings) -> bytes:
    """Return the content with every secret of the settings, and everything that looks like a key, hidden."""
    for secret in _secrets(settings):
        content = content.replace(secret, HIDDEN)
    return LONG.sub(HIDDEN, content)


def _secrets(settings: Settings) -> Iterator[bytes]:
    """Return the key's id and every line of each secret: line by line, since JSON encodes line ends differently."""
    found = [settings.api_key_id or ""]
    for setting in known_settings():
        value = getattr(settings, setting.field)
        if isinstance(value, Secret):
            found += value.reveal().splitlines()
    # The longest first, so that a secret that contains another is hidden completely.
    return (each.encode() for each in sorted(found, key=len, reverse=True) if len(each) >= SHORTEST_SECRET)


def _parts(report: RehearsalReport) -> Iterator[tuple[str, bytes]]:
    yield "report.txt", "\n".join(report.lines()).encode() + b"\n"
    yield "report.json", msgspec.json.format(msgspec.json.encode(report.facts()), indent=2) + b"\n"
    yield (
        "rest.jsonl",
        _bundle_lines({"asked": each.name, "object": sample} for each in report.probed for sample in each.samples),
    )
    yield "frames.jsonl", _bundle_lines(_frames(report))


def _frames(report: RehearsalReport) -> Iterator[dict[str, object]]:
    for record in report.records:
        for kind, frames in record.samples.items():
            yield from ({"socket": record.conn, "type": kind, "frame": frame} for frame in frames)
        yield from ({"socket": record.conn, "reason": each.reason, "frame": each.frame} for each in record.unfit)


def _bundle_lines(objects: Iterable[dict[str, object]]) -> bytes:
    """Encode objects as lines of JSON. Bytes become text, since a frame may not be valid JSON."""
    told = (
        {name: value.decode(errors="replace") if isinstance(value, bytes) else value for name, value in each.items()}
        for each in objects
    )
    return b"".join(msgspec.json.encode(each) + b"\n" for each in told)


def _add(bundle: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(f"rehearsal/{name}")
    member.size = len(content)
    bundle.addfile(member, io.BytesIO(content))
