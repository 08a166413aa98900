import os
import subprocess
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from app.simulator.market.catalog import Catalog
from app.simulator.market.exchange import Exchange
from tests.simulator.recording import START_US, Run

SLICES = st.lists(st.integers(0, 400_000), min_size=1, max_size=30)
SAMPLE = """
import hashlib, sys
from pathlib import Path
from tests.simulator.recording import Run
Run(Path(sys.argv[1]), seed=5, rate=400).advance(12).truth.close()
"""


def history(seed, slices_us, commands=None):
    exchange = Exchange(Catalog(seed, 200, START_US), 3_000)
    told = []
    for number, slice_us in enumerate(slices_us):
        told += exchange.advance(exchange.now_us + slice_us)
        for command in (commands or {}).get(number, ()):
            getattr(exchange, command)()
    return told


@settings(max_examples=25)
@given(SLICES)
def test_the_history_is_the_same_in_whatever_slices_time_passes(slices_us):
    assert history(4, slices_us) == history(4, [sum(slices_us)])


def test_pauses_at_the_same_moments_give_the_same_history():
    commands = {0: ["pause"], 2: ["restart_clocks", "resume"]}
    whole = history(4, [500_000, 0, 700_000, 900_000], commands)
    assert whole == history(4, [500_000, 300_000, 400_000, 900_000], commands)
    assert whole != history(4, [500_000, 0, 700_000, 900_000])


def test_another_seed_is_another_history():
    assert history(4, [1_000_000]) != history(5, [1_000_000])


def test_time_that_has_passed_brings_nothing_again():
    exchange = Exchange(Catalog(4, 200, START_US), 3_000)
    assert exchange.advance(START_US + 1_000_000)
    assert exchange.advance(START_US + 1_000_000) == []
    assert exchange.advance(START_US) == []
    assert exchange.now_us == START_US + 1_000_000


def test_the_truth_of_two_runs_is_the_same_byte_by_byte(tmp_path):
    for name, hash_seed in (("one", "1"), ("other", "2")):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-c", SAMPLE, str(tmp_path / name)]
        subprocess.run(command, env=environment, check=True, timeout=120)
    one, other = (tmp_path / name / "history.jsonl" for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()
    assert one.read_bytes().count(b"\n") > 3_000


def test_when_the_truth_is_flushed_makes_no_difference(tmp_path):
    for name in ("seldom", "often"):
        run = Run(tmp_path / name, seed=5)
        for _ in range(5):
            run.advance(1)
            if name == "often":
                run.truth.flush()
        run.truth.close()
    assert (tmp_path / "seldom/history.jsonl").read_bytes() == (tmp_path / "often/history.jsonl").read_bytes()
