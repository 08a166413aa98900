"""Say a line for every file that is through, and what was left out."""

from collections import Counter, defaultdict

import pytest

LEFT_OUT = "Left out: the longest tests, of faults above all (make test-faults), and the playbooks on hosts (make test-ansible)."
NAMES = {"passed": "passed", "skipped": "skipped", "failed": "FAILED"}


class Progress:
    def __init__(self, terminal):
        self._terminal = terminal
        self._left = Counter()
        self._outcomes = defaultdict(Counter)
        self._seconds = Counter()
        self._files = 0

    def pytest_collection_finish(self, session):
        self._expect(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids):
        if not self._left:
            self._expect(ids)

    def _expect(self, nodeids):
        self._left.update(file_of(nodeid) for nodeid in nodeids)
        self._files = len(self._left)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report):
        """A file is told in one line: its tests leave no letters."""
        if hasattr(report, "wasxfail") or not (report.when == "call" or not report.passed):
            return None
        return ("error" if report.failed and report.when != "call" else report.outcome, "", "")

    def pytest_runtest_logreport(self, report):
        file = file_of(report.nodeid)
        self._seconds[file] += report.duration
        if report.when == "call" or not report.passed:
            self._outcomes[file][report.outcome] += 1
        if report.failed:
            self._terminal.write_line(f"FAILED {report.nodeid}", red=True)

    def pytest_runtest_logfinish(self, nodeid):
        file = file_of(nodeid)
        self._left[file] -= 1
        if self._left[file] == 0:
            self._say(file)

    def _say(self, file):
        through = sum(left == 0 for left in self._left.values())
        outcomes = ", ".join(
            f"{self._outcomes[file][each]} {name}" for each, name in NAMES.items() if self._outcomes[file][each]
        )
        self._terminal.write_line(f"{through:4}/{self._files} {file}  {outcomes}  {self._seconds[file]:.1f} s")

    def pytest_terminal_summary(self, config):
        if config.option.markexpr == "not long":
            self._terminal.write_line(LEFT_OUT)


def file_of(nodeid):
    return nodeid.split("::")[0]


def pytest_configure(config):
    terminal = config.pluginmanager.getplugin("terminalreporter")
    if terminal is not None and not config.option.verbose and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Progress(terminal), "file-progress")
