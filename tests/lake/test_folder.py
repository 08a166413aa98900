"""A lake in a folder: what a killed writer leaves is removed, what a living one is writing is not."""

import signal
import subprocess
import sys
import threading

import pytest

from app.lake.storage import UNFINISHED, FolderStorage, StorageError
from tests.processes import wait_until

WRITE_FOR_EVER = """
import sys, time
from pathlib import Path
from app.lake.storage import FolderStorage
FolderStorage(Path(sys.argv[1]))._write("hour/theirs", lambda file: (file.write(b"half"), file.flush(), time.sleep(600)), None)
"""


@pytest.fixture
def storage(tmp_path):
    return FolderStorage(tmp_path / "lake")


def unfinished(storage):
    return [path for path in storage.folder.rglob(f"{UNFINISHED}*") if path.stat().st_size]


def test_what_a_killed_writer_left_is_removed_by_the_next_and_not_before_it_is_dead(storage):
    with subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(storage.folder)]) as writer:
        try:
            wait_until(lambda: len(unfinished(storage)) == 1, what="a file that is being written")
            storage.put("hour/ours", b"1", None)
            assert len(unfinished(storage)) == 1
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
    assert len(unfinished(storage)) == 1
    storage.put("hour/ours", b"2", storage.version("hour/ours"))
    assert unfinished(storage) == []
    assert list(storage.keys("")) == ["hour/ours"]


def test_two_who_write_into_one_folder_at_once_both_finish(storage):
    go_on, has_begun = threading.Event(), threading.Event()

    def slowly(file):
        file.write(b"slow")
        has_begun.set()
        assert go_on.wait(60)

    slow = threading.Thread(target=storage._write, args=("hour/slow", slowly, None))
    slow.start()
    assert has_begun.wait(60)
    storage.put("hour/quick", b"quick", None)
    go_on.set()
    slow.join()
    assert [storage.read(f"hour/{name}") for name in ("slow", "quick")] == [b"slow", b"quick"]


def test_what_the_disk_refuses_is_an_error_of_the_storage(storage):
    storage.put("hour", b"a file where a folder should be", None)
    for asked in (storage.read, storage.version, lambda key: storage.put(key, b"", None)):
        with pytest.raises(StorageError, match="cannot be read or written"):
            asked("hour/object")


def test_that_it_can_be_written_is_proved_without_writing(storage):
    storage.prove_writable()
    assert not storage.folder.exists()
    storage.folder.mkdir()
    storage.prove_writable()
    assert list(storage.folder.iterdir()) == []


def test_an_object_of_a_new_folder_is_durable_with_all_folders_above_it(storage, synced):
    """An hour counts as safe once it is written, and production drops it: a power cut must not take its folder away."""
    storage.put("trades/date=2026-11-01/hour=12/part.parquet", b"1", None)
    folder = storage.folder
    named = {folder, folder / "trades", folder / "trades" / "date=2026-11-01"}
    assert {folder.parent, *named, folder / "trades" / "date=2026-11-01" / "hour=12"} <= set(synced)
