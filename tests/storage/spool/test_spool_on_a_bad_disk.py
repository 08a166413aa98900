"""Power cuts, full disks and syncs that fail: what append() returned from is there, whatever happens."""

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from app.storage.spool.losses import DAMAGED, Loss, Losses
from app.storage.spool.spool import Spool, SpoolError
from app.storage.tables import ORDERBOOK_DELTAS
from tests.storage import rows
from tests.storage.spool.disk import BROKEN, FULL, Disk, PowerCutError

EXAMPLES = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
STEPS = st.lists(st.sampled_from(["append", "append", "append", "read", "remove"]), min_size=2, max_size=15)
FAULTS = st.dictionaries(st.integers(1, 40), st.sampled_from(["cut", FULL, BROKEN]), max_size=4)
SEGMENT_BYTES = st.sampled_from([1, 600, 1_000_000])


class Life:
    """A spool in use, and what must be in it."""

    def __init__(self, folder, segment_bytes):
        self.appended = []  # clocks of rows that are durable, in their order
        self.removed = 0
        self.doubtful = set()  # of rows whose append failed, or came to no end
        self.spool = Spool(folder, ORDERBOOK_DELTAS, lambda _: None, segment_bytes)
        self._read = 0
        self._clock = 0

    def append(self):
        batch = [rows.delta(clock=self._clock + number) for number in range(3)]
        self._clock += len(batch)
        clocks = [row[2] for row in batch]
        self.doubtful.update(clocks)
        self.spool.append(batch)
        self.appended += clocks
        self.doubtful.difference_update(clocks)

    def read(self):
        self._read = 0
        found = [row[2] for row in self.spool.first(4)]
        left = self.appended[self.removed :]
        assert found == left[: len(found)]
        assert found or not left
        self._read = len(found)

    def remove(self):
        if self._read:
            # Whatever comes of it: these rows may come again, and need not.
            self.removed, self._read = self.removed + self._read, 0
            self.spool.remove_first()

    def assert_kept(self, found):
        sure = [clock for clock in found if clock not in self.doubtful]
        assert found == sorted(found)
        assert len(sure) >= len(self.appended) - self.removed
        assert sure == self.appended[len(self.appended) - len(sure) :]


def lived(life, steps):
    """Until the power is cut; failures are for whoever calls to bear."""
    for step in steps:
        try:
            with contextlib.suppress(SpoolError):
                getattr(life, step)()
        except PowerCutError:
            event("cut in the middle")
            return


def everything(folder):
    spool = Spool(folder, ORDERBOOK_DELTAS, lambda _: None)
    found = []
    while batch := spool.first(1):
        found += [row[2] for row in batch]
        spool.remove_first()
    spool.close()
    return found


def chosen_by(data):
    return lambda options: data.draw(st.sampled_from(options))


@EXAMPLES
@given(steps=STEPS, faults=FAULTS, segment_bytes=SEGMENT_BYTES, data=st.data())
def test_what_was_appended_survives_power_cuts_and_failing_writes_and_syncs(steps, faults, segment_bytes, data):
    with tempfile.TemporaryDirectory() as base:
        folder, shadows = Path(base) / "spool", Path(base) / "shadows"
        disk = Disk(folder, shadows, faults)
        life = Life(folder, segment_bytes)
        with disk.watched():
            lived(life, steps)
            life.spool.close()
        disk.after_the_cut(chosen_by(data), Path(base) / "again")
        life.assert_kept(everything(Path(base) / "again"))


@pytest.mark.parametrize("fault", [FULL, BROKEN])
@pytest.mark.parametrize("call", range(1, 15))
def test_after_a_call_that_failed_what_is_appended_is_as_durable_as_ever(tmp_path, call, fault):
    disk = Disk(tmp_path / "spool", tmp_path / "shadows", {call: fault})
    life = Life(tmp_path / "spool", 1_000_000)
    with disk.watched():
        lived(life, ["append"] * 5)
        life.spool.close()
    assert disk.calls >= call
    assert len(life.appended) == 4 * 3
    disk.after_the_cut(lambda options: options[0], tmp_path / "again")
    life.assert_kept(everything(tmp_path / "again"))


@EXAMPLES
@given(steps=STEPS, faults=FAULTS.map(lambda faults: dict.fromkeys(faults, FULL)), segment_bytes=SEGMENT_BYTES)
def test_a_full_disk_costs_nothing_that_was_appended_and_what_comes_later_is_read_behind_it(
    steps, faults, segment_bytes
):
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "spool"
        disk = Disk(folder, Path(base) / "shadows", faults)
        life = Life(folder, segment_bytes)
        with disk.watched():
            lived(life, [*steps, "append"])
        while life.removed < len(life.appended):
            life.read()
            life.remove()
        assert life.spool.first(1) == []
        assert life.spool.is_empty
        life.spool.close()


LOSSES = st.lists(
    st.builds(Loss, st.sampled_from(["trades", "gaps"]), st.just(DAMAGED), st.integers(0, 9), st.integers(0, 9))
)


@EXAMPLES
@given(losses=LOSSES, faults=FAULTS, data=st.data())
def test_a_loss_that_was_told_is_known_after_any_power_cut(losses, faults, data):
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "losses"
        disk = Disk(folder, Path(base) / "shadows", faults)
        known, told = Losses(folder), []
        with disk.watched(), contextlib.suppress(PowerCutError):
            for loss in losses:
                with contextlib.suppress(SpoolError):
                    known.add([loss])
                    told.append(loss)
        disk.after_the_cut(chosen_by(data), Path(base) / "again")
        left = [loss for found in Losses(Path(base) / "again").read().values() for loss in found]
        assert faults or told == losses
        assert set(told) <= set(left)
        assert set(left) <= set(losses)
