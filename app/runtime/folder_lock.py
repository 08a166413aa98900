"""Lock a folder for one process at a time."""

import fcntl
import os
from pathlib import Path
from typing import IO

from app.errors import ServerError


class FolderLock:
    """A lock that one process at a time holds on a folder. The kernel releases it when its holder ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Take the lock. Raise ServerError with the holder's process id if another process has it."""
        try:
            # Opened without truncation, so that the holder's process id stays readable.
            file = self._path.open("a+")
        except OSError as error:
            raise ServerError(
                f"The folder {self._path.parent} cannot be used by this user.",
                str(error),
                "set KALSHI_DATA_DIR to another one.",
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            file.close()
            raise ServerError(
                f"The folder {self._path.parent} is in use by another run.",
                f"Process {holder} holds its lock.",
                f"wait for it, or stop it (kill {holder}), or set KALSHI_DATA_DIR to another folder.",
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
