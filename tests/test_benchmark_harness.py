import json

import pytest

from tests.bench.report import Report
from tests.processes import run


@pytest.mark.parametrize(
    ("value", "bar", "at_least", "ok"),
    [(5, None, True, True), (5, 5, True, True), (4, 5, True, False), (5, 5, False, True), (6, 5, False, False)],
)
def test_a_figure_is_ok_when_it_reaches_its_bar(capsys, value, bar, at_least, ok):
    report = Report("some")
    report("rate", value, "rows/s", bar=bar, at_least=at_least, rows=10)
    expected = {"bench": "some", "figure": "rate", "value": value, "unit": "rows/s", "bar": bar, "ok": ok}
    assert json.loads(capsys.readouterr().out) == {**expected, "conditions": {"rows": 10}}
    assert report.ok is ok


def test_one_missed_bar_is_not_made_good_by_another(capsys):
    report = Report("some")
    report("slow", 1, "rows/s", bar=2)
    report("fast", 9, "rows/s", bar=2)
    assert capsys.readouterr().out.count("\n") == 2
    assert not report.ok


@pytest.mark.parametrize("arguments", [(), ("no-such",), ("report",)])
def test_a_name_that_is_no_benchmark_is_answered_with_those_that_are(arguments):
    done = run("-m", "tests.bench", *arguments)
    assert done.returncode == 2
    assert "copy" in done.stderr
