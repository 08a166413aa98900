"""What a rehearsal tells: verdicts with their evidence, and what the account and the exchange were like."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from app.rehearsal.assumptions import ASSUMPTIONS, Assumption
from app.rehearsal.rest_probe import Probed
from app.rehearsal.socket_record import SocketRecord
from app.rehearsal.verdicts import Answer, Verdict, not_judged

NOT_REACHED = "the rehearsal did not come that far"


class Report(NamedTuple):
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
        return all(verdict.answer is not Answer.NO for verdict in self.verdicts)

    def facts(self) -> dict[str, object]:
        """Return what a program reads."""
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
        """Return why sockets ended before they were told to: what they told until then is judged all the same."""
        return [f"socket {record.conn}: {record.ended}" for record in self.records if record.ended]

    def messages(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for record in self.records:
            counts.update(record.counts)
        return dict(sorted(counts.items()))

    def unknown_fields(self) -> dict[str, list[str]]:
        """Return the fields that were new in October 2026 or later, by what has them."""
        found = {each.name: set(each.unknown_fields) for each in self.probed if each.unknown_fields}
        for record in self.records:
            for kind, names in record.unknown_fields.items():
                found[kind] = found.get(kind, set()) | names
        return {name: sorted(fields) for name, fields in sorted(found.items())}

    def lines(self) -> Iterator[str]:
        """Return what a person reads."""
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
        yield ", ".join(f"{answers[answer]} {answer.value}" for answer in Answer)


def complete(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return one for each assumption, in their order; what nobody judged is not judged."""
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
    if verdict.answer is Answer.NO:
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
