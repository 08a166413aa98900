"""Keep what a failed test said, its log, and the outputs of the processes that it had."""

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

FOLDER = Path(__file__).parents[2] / ".test-failures"
LONGEST_NAME = 120
FAILED = pytest.StashKey[bool]()


class Output(NamedTuple):
    """What a process of a test says."""

    name: str
    text: Callable[[], str]
    is_over: Callable[[], bool]


_outputs: list[Output] = []


def keep_output(*output):
    """Save what this process has said, if the test fails during which it runs."""
    _outputs.append(Output(*output))


def folder_of(nodeid):
    """Return the test's own folder: long names that begin alike differ in their end."""
    name = re.sub(r"[^\w.-]+", "-", nodeid.removeprefix("tests/"))
    if len(name) > LONGEST_NAME:
        name = f"{name[:LONGEST_NAME]}-{hashlib.sha256(nodeid.encode()).hexdigest()[:8]}"
    return FOLDER / name


def save(folder, report):
    folder.mkdir(parents=True, exist_ok=True)
    said = [f"{report.nodeid}: {report.when} {report.outcome}", report.longreprtext]
    said += [f"--- {title}\n{content}" for title, content in report.sections]
    (folder / f"{report.when}.txt").write_text("\n\n".join(said))
    for number, output in enumerate(_outputs):
        (folder / f"{number}-{output.name}.log").write_text(output.text())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Forget this test's last failure, and the processes of earlier tests but those that several tests share."""
    shutil.rmtree(folder_of(item.nodeid), ignore_errors=True)
    _outputs[:] = [output for output in _outputs if not output.is_over()]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    # What the teardown adds to a failed test's outputs is wanted too.
    has_failed = item.stash[FAILED] = report.failed or item.stash.get(FAILED, default=False)
    if has_failed:
        save(folder_of(item.nodeid), report)
    return report


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter):
    failed = sorted({report.nodeid for key in ("failed", "error") for report in terminalreporter.stats.get(key, ())})
    if failed:
        terminalreporter.section("kept of what failed")
    for nodeid in failed:
        terminalreporter.write_line(str(folder_of(nodeid)))
