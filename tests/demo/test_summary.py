import msgspec
import pytest

from app.coverage.evidence import BOOKS
from app.demo.summary import Archived, Evidence, Freshness, Subject, TrueHole, summary_of, text_lines
from app.simulator.check.report import BookFindings, Findings, SimReport

BOOK = Subject(BOOKS, "A")
HOLE = TrueHole(BOOK, 110, 120)


def evidence(**others):
    tables = [Findings("orderbook_deltas", expected=9, found=8, unfillable=1), Findings("trades", expected=2, found=2)]
    given = {
        "events": 11,
        "delivered": 10,
        "report": SimReport(tables, BookFindings()),
        "ready_us": 100,
        "true_holes": [HOLE],
        "declared": {BOOK: ((105, 130),)},
        "freshness": Freshness(150.0, 420.5),
        "archived": Archived(objects=2, verified=2, rows=10, recorded=10),
        "audit_findings": 0,
    }
    return Evidence(**given | others)


def report(books=None, **counts):
    return SimReport([Findings("trades", found=5, **counts)], books or BookFindings())


def test_it_holds_when_all_is_there_and_what_is_not_is_said():
    summary = summary_of(evidence())
    assert summary.held
    assert (summary.rows, summary.lost, summary.holes_true, summary.holes_declared) == (10, 0, 1, 1)
    assert (summary.freshness_p50_ms, summary.freshness_p99_ms) == (150.0, 420.5)


@pytest.mark.parametrize("what", ["lost", "duplicated", "unexpected", "altered"])
def test_one_row_that_is_not_what_happened_breaks_it(what):
    summary = summary_of(evidence(report=report(**{what: 1})))
    assert not summary.held
    assert getattr(summary, what) == 1


@pytest.mark.parametrize("what", ["lost", "unexpected", "altered"])
def test_so_does_one_book(what):
    summary = summary_of(evidence(report=report(BookFindings(**{what: 1}))))
    assert not summary.held
    assert getattr(summary, what) == 1


def test_so_does_a_hole_that_nobody_speaks_of():
    summary = summary_of(evidence(declared={}))
    assert not summary.held
    assert (summary.holes_true, summary.holes_undeclared) == (1, 1)


def test_so_does_an_audit_finding_that_is_open():
    assert not summary_of(evidence(audit_findings=1)).held


@pytest.mark.parametrize("what", ["verified", "rows"])
def test_so_does_a_lake_that_is_not_whole_or_not_read_back(what):
    archived = evidence().archived
    summary = summary_of(evidence(archived=archived._replace(**{what: 1})))
    assert not summary.held
    assert getattr(summary, f"lake_{what}") == 1


def test_nothing_sent_proves_nothing():
    assert not summary_of(evidence(report=SimReport([], BookFindings(), is_proof=False))).held


def test_a_person_reads_every_figure_and_the_verdict():
    lines = list(text_lines(summary_of(evidence(freshness=Freshness(None, None)))))
    assert lines[0].split(maxsplit=2) == ["events", "11", "changes that the exchange made"]
    assert "freshness p99 ms            -  the same: 99 of 100" in lines
    assert lines[-1] == "The promise held."
    assert max(map(len, lines)) <= 80


def test_figures_that_look_like_a_contradiction_are_explained():
    def explained(**figures):
        usual = {"events": 9, "delivered": 9, "rows": 9, "holes_declared": 1, "holes_true": 1}
        summary = msgspec.structs.replace(summary_of(evidence()), **{**usual, **figures})
        return [line.split(":")[0] for line in list(text_lines(summary))[16:-1]]

    assert explained() == []
    assert explained(events=12) == ["Not delivered"]
    assert explained(rows=10) == ["More rows than delivered"]
    assert explained(holes_declared=910) == ["Declared holes without a true one"]
