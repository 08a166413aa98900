"""The list of assumptions, the document and the command say the same."""

import pytest

from app.documentation import with_assumptions_table
from app.rehearsal.assumptions import ASSUMPTIONS, Judgement, holds
from app.rehearsal.report import complete
from tests.code_base.sources import ROOT

DOCUMENT = (ROOT / "docs/assumptions.md").read_text()
COMMAND = "".join(path.read_text() for path in (ROOT / "app/rehearsal").glob("*.py") if path.name != "assumptions.py")
by_key = pytest.mark.parametrize("assumption", ASSUMPTIONS, ids=lambda assumption: assumption.key)


def test_the_document_lists_what_the_command_judges():
    assert with_assumptions_table(DOCUMENT) == DOCUMENT, "run: make docs"


@by_key
def test_the_command_judges_it(assumption):
    assert f'"{assumption.key}"' in COMMAND


@by_key
def test_the_code_that_relies_on_it_is_where_the_list_says(assumption):
    missing = [file for file, text in assumption.relied_on if text not in (ROOT / file).read_text()]
    assert missing == []


def test_what_nobody_judged_is_not_judged():
    answers = {verdict.assumption: verdict.answer for verdict in complete([holds("key_signs", "")])}
    assert answers.pop("key_signs") is Judgement.YES
    assert set(answers.values()) == {Judgement.NOT_JUDGED}


def test_no_verdict_is_given_on_what_is_not_listed():
    with pytest.raises(KeyError, match="no_such"):
        complete([holds("no_such", "")])
