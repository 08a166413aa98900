from pathlib import Path

from app.errors import ServerError
from app.folder_lock import FolderLock
from app.spool.losses import DAMAGED, Loss, Losses
from app.spool.spool import Spool, SpoolError
from app.store.tables import Table


class SpoolFolder:
    """The spools of all tables, which share a folder that is one process's alone, and the room in it."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._spools: list[Spool] = []
        self._lock = FolderLock(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ServerError(
                f"The folder {folder} cannot be made.", str(error), "set KALSHI_DATA_DIR to another one."
            ) from error
        self._lock.take()
        self.losses = Losses(folder / "losses")

    @property
    def size_bytes(self) -> int:
        return sum(spool.size_bytes for spool in self._spools)

    def spool_of(self, table: Table) -> Spool:
        def declare(since_us: int | None, until_us: int) -> None:
            self.losses.add([Loss(table.name, DAMAGED, since_us, until_us)])

        spool = Spool(self.folder / table.name, table, self._check_room, on_loss=declare)
        self._spools.append(spool)
        return spool

    def close(self) -> None:
        for spool in self._spools:
            spool.close()
        self._lock.release()

    def _check_room(self, added_bytes: int) -> None:
        size_bytes = self.size_bytes
        if size_bytes + added_bytes > self.max_bytes:
            raise SpoolError(
                "The spool is full.",
                f"{size_bytes:,} of {self.max_bytes:,} bytes are in use.",
                "bring the database back, or raise KALSHI_SPOOL_MAX_BYTES.",
            )
