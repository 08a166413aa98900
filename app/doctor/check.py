"""Define the result of a check, and which processes cannot run because of it."""

from collections.abc import Collection, Iterable
from enum import Enum
from typing import NamedTuple

GATHERER, MAINTAINER, DEDUPLICATOR, EXPORTER, ARCHIVER, ADMIN = PROCESSES = (
    "gatherer",
    "maintainer",
    "deduplicator",
    "exporter",
    "archiver",
    "admin",
)


class CheckState(Enum):
    OK = "ok"
    FAIL = "FAIL"
    NOTE = "--"  # nothing is wrong, but this host lacks something that not every host needs


class Check(NamedTuple):
    subject: str
    state: CheckState
    finding: str
    needed_by: frozenset[str] = frozenset()  # processes that cannot run unless it is ok


def judged(subject: str, finding: str, needed_by: Collection[str] = (), *, ok: bool) -> Check:
    """Return a check that is OK or FAIL."""
    return Check(subject, CheckState.OK if ok else CheckState.FAIL, finding, frozenset(needed_by))


def failed(subject: str, finding: str, needed_by: Collection[str] = ()) -> Check:
    return judged(subject, finding, needed_by, ok=False)


def note(subject: str, finding: str, needed_by: Collection[str] = ()) -> Check:
    return Check(subject, CheckState.NOTE, finding, frozenset(needed_by))


def hindrances(checks: Iterable[Check]) -> dict[str, list[str]]:
    """Return, for each process, the subjects that keep it from running here."""
    lacking = [check for check in checks if check.state is not CheckState.OK]
    return {
        process: list(dict.fromkeys(check.subject for check in lacking if process in check.needed_by))
        for process in PROCESSES
    }
