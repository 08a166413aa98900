"""A finding, and which processes cannot run because of it."""

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


class State(Enum):
    OK = "ok"
    FAIL = "FAIL"
    NOTE = "--"  # nothing is wrong, but not every host has it


class Check(NamedTuple):
    subject: str
    state: State
    finding: str
    needed_by: frozenset[str] = frozenset()  # processes that do not run where it is not ok


def judged(subject: str, finding: str, needed_by: Collection[str] = (), *, ok: bool) -> Check:
    return Check(subject, State.OK if ok else State.FAIL, finding, frozenset(needed_by))


def failed(subject: str, finding: str, needed_by: Collection[str] = ()) -> Check:
    return judged(subject, finding, needed_by, ok=False)


def note(subject: str, finding: str, needed_by: Collection[str] = ()) -> Check:
    return Check(subject, State.NOTE, finding, frozenset(needed_by))


def hindrances(checks: Iterable[Check]) -> dict[str, list[str]]:
    """Return, for each process, the subjects that keep it from running here."""
    lacking = [check for check in checks if check.state is not State.OK]
    return {
        process: list(dict.fromkeys(check.subject for check in lacking if process in check.needed_by))
        for process in PROCESSES
    }
