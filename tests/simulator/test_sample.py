"""The sample lake: made in seconds, small, whole, and honest about its holes."""

import json
import shlex
import subprocess
import sys

import pytest

import kalshi_data as kd
from app.lake.parquet import sha256_of
from app.simulator.sample import BUSIEST_HOLE, OUTAGE, START, make_sample
from kalshi_data.layout import EVENT_TABLES, FOLDERS, HOUR
from tests.cli_settings import invoke
from tests.code_base.sources import ROOT

MOST_BYTES = 3_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "lake"
    make_sample(folder, seed=1)
    return folder


def test_it_is_small_and_has_every_table(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    for table in FOLDERS:
        assert list((folder / FOLDERS[table]).rglob("*.parquet")), table
    lake = kd.open(folder)
    assert all(lake.dataset(table).count_rows() > 100 for table in EVENT_TABLES)


def test_its_books_are_proven_by_the_program_that_shares_no_code(folder):
    done = subprocess.run(
        [sys.executable, ROOT / "docs/prove_it_yourself.py", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_its_holes_are_declared_and_empty(folder):
    lake = kd.open(folder)
    trades = lake.trades(None, START, START + HOUR)
    assert trades.coverage.holes == (OUTAGE,)
    assert not any(trades.to_arrow()["in_hole"].to_pylist())
    hours = lake.coverage_hours().to_arrow().to_pylist()
    [busiest] = {row["ticker"] for row in hours if BUSIEST_HOLE[0] in row["holes_from"]}
    assert lake.book(busiest, BUSIEST_HOLE[0]).state == "hole"
    assert lake.book(busiest, BUSIEST_HOLE[1]).state == "complete"
    assert lake.book_changes(busiest, *BUSIEST_HOLE).to_arrow().num_rows == 0


def test_markets_have_settled_in_it(folder):
    settled = [row for row in kd.open(folder).markets().to_arrow().to_pylist() if row["settlement_value"] is not None]
    assert {row["result"] for row in settled} == {"yes", "no"}


def test_its_objects_are_those_of_their_manifests(folder):
    manifests = [json.loads(path.read_text()) for path in (folder / "_manifest").rglob("*.json")]
    assert len(manifests) == len(FOLDERS) + 2
    assert all(sha256_of(folder / each["object"]) == each["sha256"] for each in manifests)


def test_the_command_says_what_to_type_next_and_replaces_nothing(tmp_path):
    done = invoke({}, "simulator", "sample", "--into", str(tmp_path / "lake"))
    assert done.exit_code == 0, done.output
    _, place, line = done.stdout.splitlines()
    assert place == f"The lake: {tmp_path / 'lake'}"
    looked = subprocess.run(
        shlex.split(line.removeprefix("Next: ")), cwd=ROOT, input="", capture_output=True, text=True, check=False
    )
    assert "yes_price" in looked.stdout, looked.stderr
    again = invoke({}, "simulator", "sample", "--into", str(tmp_path / "lake"))
    assert "is not empty" in str(again.exception)
