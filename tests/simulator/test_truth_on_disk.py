import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import OperatorError
from app.simulator.check.matcher import Delivered
from app.simulator.market.changes import SimDelta, SimLifecycle, SimTicker, SimTrade
from app.simulator.truth import Header, Truth, TruthReader
from tests.simulator.recording import START_US, Run

HEADER = Header(seed=1, markets=10, start_us=START_US, changes_per_second=1)
CHANGES = [
    SimDelta(START_US, 7, 12, True, 420_000, -5_400),
    SimTrade(START_US, 7, "d91bc706-ee49-470d-82d8-11418bda6fed", 420_000, 5_400, False, True),
    SimTicker(START_US, 7, None, 0, 1_000_000, 0, 0, 0, 0, 0, 0, 0),
    SimLifecycle(START_US, "KXÄ-1", "market_lifecycle_v2", "created", {"open_ts": 1, "nested": {"a": [None, True]}}),
]
# Writes a second's worth, flushes it, says so, and goes on writing until it is killed.
VICTIM = """
import sys
from pathlib import Path
from tests.simulator.recording import Run
run = Run(Path(sys.argv[1])).advance(3)
run.truth.flush()
print(run.truth.changes, flush=True)
while True:
    run.advance(1)
"""


@pytest.fixture
def truth(tmp_path):
    opened = Truth(tmp_path / "truth", HEADER)
    yield opened
    opened.close()


def test_what_was_written_is_read_back(tmp_path, truth):
    assert [truth.history(change) for change in CHANGES] == [0, 1, 2, 3]
    truth.flush()
    reader = TruthReader(tmp_path / "truth")
    assert reader.header == HEADER
    assert list(reader.changes()) == CHANGES
    assert reader.count() == 4
    assert [type(change) for change in reader.changes()] == [type(change) for change in CHANGES]


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"), st.integers(0, 10**6), st.sampled_from(["whole", "duplicate", "altered", "withheld"])
        )
    ),
    st.integers(1, 10),
)
def test_only_what_was_sent_whole_counts_as_delivered(tmp_path_factory, sent, flush_every):
    folder = tmp_path_factory.mktemp("truth") / "truth"
    truth = Truth(folder, HEADER)
    for number, (connection, ordinal, what) in enumerate(sent):
        truth.sent(connection, ordinal, what)
        # A snapshot's market and clock are no ordinals.
        truth.snapshot(connection, ordinal + 1, ordinal << 3, what)
        if number % flush_every == 0:
            truth.flush()
    truth.close()
    delivered = Delivered(TruthReader(folder))
    whole = {ordinal for _, ordinal, what in sent if what == "whole"}
    assert all(ordinal in delivered for ordinal in whole)
    for _, ordinal, _ in sent:
        assert (ordinal in delivered, ordinal + 1 in delivered) == (ordinal in whole, ordinal + 1 in whole)


def test_who_saw_equal_changes_apart_cannot_tell_them_apart(tmp_path, truth):
    for connection, ordinal in [("a", 1), ("b", 2), ("b", 3), ("c", 3), ("c", 3), ("a", 9)]:
        truth.sent(connection, ordinal)
    truth.flush()
    delivered = Delivered(TruthReader(tmp_path / "truth"))
    assert delivered.most_at_once([[2, 3, 9], [1, 4], [7, 8], [1, 4]]) == [2, 1, 0, 1]


def test_a_connection_may_have_any_name(tmp_path, truth):
    names = ["1-key", "2-../../etc/passwd", "3-ä %2F\n", ".."]
    for ordinal, name in enumerate(names):
        truth.sent(name, ordinal)
    truth.flush()
    reader = TruthReader(tmp_path / "truth")
    assert sorted(reader.connections()) == sorted(names)
    delivered = Delivered(reader)
    assert all(ordinal in delivered for ordinal in range(4))


def test_an_unfinished_line_and_an_unfinished_block_are_the_end(tmp_path, truth):
    for ordinal, change in enumerate(CHANGES):
        truth.history(change)
        truth.sent("a", ordinal)
        truth.flush()
    folder = tmp_path / "truth"
    for file, cut_bytes in ((folder / "history.jsonl", 10), (folder / "sent/a.bin", 1)):
        file.write_bytes(file.read_bytes()[:-cut_bytes])
    reader = TruthReader(folder)
    assert list(reader.changes()) == CHANGES[:-1]
    delivered = Delivered(reader)
    assert [ordinal in delivered for ordinal in range(4)] == [True, True, True, False]


def test_a_damaged_block_is_not_taken_for_the_truth(tmp_path, truth):
    truth.sent("a", 1)
    truth.flush()
    file = tmp_path / "truth/sent/a.bin"
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(OperatorError, match="damaged"):
        Delivered(TruthReader(tmp_path / "truth"))


def test_a_kill_loses_nothing_that_was_flushed(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", VICTIM, str(tmp_path / "truth")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as victim:
        flushed = int(victim.stdout.readline())
        victim.send_signal(signal.SIGKILL)
        victim.wait(120)
    expected = Run(tmp_path / "again").advance(3)
    expected.truth.close()
    reader = TruthReader(tmp_path / "truth")
    changes = list(reader.changes())
    assert flushed == len(expected.seen)
    assert changes[:flushed] == [change for _, change in expected.seen]
    delivered = Delivered(reader)
    assert all(ordinal in delivered for ordinal in range(flushed))


def test_a_folder_with_another_run_s_truth_is_refused(tmp_path, truth):
    with pytest.raises(OperatorError, match="another run"):
        Truth(tmp_path / "truth", HEADER)


@pytest.mark.parametrize("content", [b"", b"{", b'{"seed":1}\n', b"\xff\n"])
def test_what_is_no_history_is_refused(tmp_path, content):
    (tmp_path / "history.jsonl").write_bytes(content)
    with pytest.raises(OperatorError, match=r"history\.jsonl"):
        TruthReader(tmp_path)
