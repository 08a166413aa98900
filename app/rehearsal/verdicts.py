"""What a rehearsal says of an assumption: that it holds, that it does not, or that nothing was seen to judge it by."""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple


class Answer(Enum):
    YES = "yes"
    NO = "no"
    NOT_JUDGED = "not judged"


class Verdict(NamedTuple):
    assumption: str  # its key in assumptions.py
    answer: Answer
    evidence: str


def holds(assumption: str, evidence: str) -> Verdict:
    return Verdict(assumption, Answer.YES, evidence)


def fails(assumption: str, evidence: str) -> Verdict:
    return Verdict(assumption, Answer.NO, evidence)


def not_judged(assumption: str, why: str) -> Verdict:
    return Verdict(assumption, Answer.NOT_JUDGED, why)


def counted(assumption: str, what: str, total: int, wrong: Sequence[object], tolerated: float = 0.0) -> Verdict:
    """Judge by how many of what was looked at is wrong; a share of them may be, where it is known that some are."""
    if not total:
        return not_judged(assumption, f"no {what} to look at")
    text = f"{total - len(wrong)} of {total} {what}"
    if not wrong:
        return holds(assumption, text)
    told = list(dict.fromkeys(map(str, wrong)))
    text += f"; not {', '.join(told[:SHOWN])}{' …' if len(told) > SHOWN else ''}"
    return holds(assumption, text) if len(wrong) <= tolerated * total else fails(assumption, text)


SHOWN = 3
