"""What is said to be on disk is there after a power cut: contents, names, and the folders that hold them."""

import contextlib

import pytest

from app.runtime.durable_files import make_folder, write_whole
from tests.storage.spool.disk import Disk, PowerCutError


def test_every_folder_that_was_made_is_named_durably(tmp_path, synced):
    make_folder(tmp_path / "new" / "newer" / "newest")
    assert (tmp_path / "new" / "newer" / "newest").is_dir()
    assert set(synced) == {tmp_path, tmp_path / "new", tmp_path / "new" / "newer"}


def test_a_folder_that_is_there_may_have_been_made_a_moment_before_the_power_was_cut(tmp_path, synced):
    (tmp_path / "made").mkdir()
    make_folder(tmp_path / "made")
    assert synced == [tmp_path]


def least(choices):
    return choices[0]


def greatest(choices):
    return choices[-1]


@pytest.mark.parametrize("cut_at", [*range(1, 6), None])
@pytest.mark.parametrize("choose", [least, greatest])
def test_a_file_that_is_replaced_is_the_old_one_or_the_new_one_and_never_neither(tmp_path, cut_at, choose):
    disk = Disk(tmp_path / "disk", tmp_path / "shadows", {})
    path, is_written = disk.folder / "file", False
    with disk.watched():
        write_whole(path, b"old", path.with_suffix(".new"))
        disk._faults = {disk.calls + cut_at: "cut"} if cut_at else {}
        with contextlib.suppress(PowerCutError):
            write_whole(path, b"new", path.with_suffix(".new"))
            is_written = True
    disk.after_the_cut(choose, tmp_path / "after")
    left = (tmp_path / "after" / "file").read_bytes()
    assert left == b"new" if is_written else left in {b"old", b"new"}
