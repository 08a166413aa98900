"""docs/prove_it_yourself.py: it finds what differs, accepts declared holes, and imports nothing of ours."""

import ast
import subprocess
import sys

import pytest

from app.postgres.connection import connected
from tests.cli_settings import invoke
from tests.code_base.sources import ROOT
from tests.kalshi_data.lakes import NOON, TICKER, at, change, judged, snapshot, write
from tests.simulator.recording import Run

PROGRAM = ROOT / "docs/prove_it_yourself.py"


def prove(folder):
    return subprocess.run([sys.executable, PROGRAM, folder], capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path):
    write(
        tmp_path,
        "orderbook_snapshots",
        [snapshot(0, 1, [(400_000, 500)]), snapshot(60, 3, [(400_000, 700)])],
        "snapshot_ts",
    )
    write(tmp_path, "orderbook_deltas", [change(10, 2), change(20, 3)], "exchange_ts")
    write(tmp_path, "coverage", [judged(NOON, "orderbook_delta", TICKER)], "hour_start")
    return tmp_path


def test_equal_books_are_a_proof(folder):
    done = prove(folder)
    assert (done.returncode, done.stdout) == (0, "{'equal': 1}\n"), done.stderr


def test_a_lost_change_is_found(folder):
    write(folder, "orderbook_deltas", [change(10, 2)], "exchange_ts")
    done = prove(folder)
    assert done.returncode == 1
    assert TICKER in done.stdout
    assert "'wrong': 1" in done.stdout


def test_what_a_declared_hole_explains_is_not_wrong(folder):
    later = [snapshot(0, 1, [(400_000, 500)]), snapshot(60, 3, [(400_000, 700)]), snapshot(90, 4, [(400_000, 1)])]
    write(folder, "orderbook_snapshots", later, "snapshot_ts")
    write(folder, "coverage", [judged(NOON, "orderbook_delta", TICKER, [(at(70), at(90))])], "hour_start")
    done = prove(folder)
    assert (done.returncode, done.stdout) == (0, "{'equal': 1, 'in a hole': 1}\n"), done.stderr


def test_nothing_to_compare_is_no_proof(folder):
    write(folder, "orderbook_snapshots", [snapshot(0, 1, [(400_000, 500)])], "snapshot_ts")
    assert prove(folder).returncode == 1


def test_a_simulated_exchange_is_proven(production, tmp_path):
    run = Run(tmp_path / "truth", markets=20, rate=300).record_books(range(20)).advance(10).record_everything()
    run.record_books(range(20))
    with connected(production) as connection:
        run.write(connection)
        connection.commit()
    settings = {"KALSHI_PRODUCTION_DSN": production.reveal(), "KALSHI_LAKE": str(tmp_path / "lake")}
    done = invoke(settings, "export")
    assert done.exit_code == 0, done.output
    write(tmp_path / "lake", "coverage", [judged(NOON, "trade")], "hour_start")
    done = prove(tmp_path / "lake")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'equal'" in done.stdout
    assert "wrong" not in done.stdout


def test_it_is_none_of_our_code():
    tree = ast.parse(PROGRAM.read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"collections", "datetime", "itertools", "pyarrow"}
