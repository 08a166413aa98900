"""Make and replace files and folders so that a power cut leaves them as they were before or as they were meant to be.

A file's content is durable after its own fsync, and its name after an fsync of its folder.
"""

import os
from contextlib import suppress
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make the creation, renaming and removal of files in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make the folder, and those above it that are missing. Return once they are durable."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)
    if not missing:
        # Another process may have made it a moment ago. A parent that may not be read is not one of ours.
        with suppress(PermissionError):
            sync_folder(folder.parent)


def write_whole(path: Path, content: bytes, unfinished: Path) -> None:
    """Write the file under another name of the same folder, then rename it. Return once both are durable.

    The rename is atomic: a reader finds the whole file, or what was there before.
    """
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    sync_folder(path.parent)
