"""CSV for people, whose spreadsheets take some text for formulas, and for programs, which want what there is."""

import csv
import io

import pytest

from tests.admin.seeded import TICKER
from tests.gatherers import put_market

FORMULAS = ('=HYPERLINK("http://evil.example")', "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\uff1d1+1")
PLAIN = ("Will it rain?", "'quoted'", "a=b", "", "-12.50", "+1")


@pytest.fixture
def titled(changing):
    for number, title in enumerate([*FORMULAS, *PLAIN]):
        put_market(changing.dsn, f"KX-TITLE-{number:02}", title=title)
    return changing


def titles(api, **query):
    answer = api.get("/admin/markets", query_string={"format": "csv", **query})
    rows = csv.DictReader(io.StringIO(answer.text, newline=""))
    return [row["title"] for row in rows if row["ticker"].startswith("KX-TITLE-")]


def test_what_a_spreadsheet_would_run_is_text_to_it_and_the_rest_is_as_it_is(titled):
    assert titles(titled) == [*(f"'{formula}" for formula in FORMULAS), *PLAIN]


def test_programs_ask_for_what_there_is(titled):
    assert titles(titled, exact="true") == [*FORMULAS, *PLAIN]


def test_numbers_are_the_same_for_both(api):
    path = f"/admin/markets/{TICKER}/trades"
    for_people, for_programs = (
        api.get(path, query_string={"format": "csv", "exact": exact}).text for exact in ("false", "true")
    )
    assert for_people == for_programs
