"""Record rows that a gatherer received and no longer has, until the journal's gaps state each loss.

A loss is written to disk before the code that found it continues, and removed when its gaps are committed. A process
that ends in between declares it again, which adds nothing.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from app.errors import ServerError
from app.runtime import logs
from app.runtime.clock import now_us
from app.runtime.durable_files import make_folder, write_whole
from app.runtime.folder_lock import FolderLock
from app.storage.spool.spool import RECEIVED_AT, Spool, SpoolError, disk
from app.storage.tables import GAPS, GATHERER_TABLES, Row, Table

log = logs.get(__name__)

DAMAGED = "damaged"
QUARANTINED = "quarantined"
EVERY_TABLE = ""
# A refused row's own times say when the loss happened, unless they differ by more than this: then they are the error.
LATEST_US = 3_600_000_000
MARGIN_US = 1_000_000
SOCKETS = range(1, 2**15)


class Loss(msgspec.Struct, frozen=True):
    """Lost rows of a table that were received in this interval, on this connection or (None) on any."""

    table: str
    cause: str
    since_us: int | None  # None: not known
    until_us: int
    conn: int | None = None
    rows: int | None = None


class Losses:
    """The losses that the journal does not state yet, each in its own file, so that writers need no common lock.

    Its methods may be called from any thread.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with disk(folder):
            make_folder(folder)
            for unfinished in folder.glob("*.unfinished"):
                unfinished.unlink()

    def __len__(self) -> int:
        return sum(1 for _ in self._folder.glob("*.json"))

    def add(self, losses: Sequence[Loss]) -> None:
        """Write the losses to disk, and return once they are durable."""
        if not losses:
            return
        content = msgspec.json.encode(losses)
        # Named by its content, so that a loss that is declared again adds no file.
        path = self._folder / f"{hashlib.sha256(content).hexdigest()[:32]}.json"
        with disk(self._folder):
            if path.exists():
                return
            write_whole(path, content, path.with_suffix(f".{os.urandom(4).hex()}.unfinished"))
        log.error("rows lost: the loss will be recorded in the journal", **_summary(losses))

    def read(self) -> dict[Path, list[Loss]]:
        with disk(self._folder):
            return {path: _losses_in(path.read_bytes()) for path in sorted(self._folder.glob("*.json"))}

    def remove(self, paths: Iterable[Path]) -> None:
        with disk(self._folder):
            for path in paths:
                path.unlink(missing_ok=True)


def losses_of(table: Table, refused: Iterable[Row]) -> list[Loss]:
    """Return the losses caused by rows that their table refused, one for each connection."""
    found: dict[int | None, Loss] = {}
    for row in refused:
        loss = _loss_of(table, row)
        if loss is not None:
            found[loss.conn] = _merged(found.get(loss.conn), loss)
    return list(found.values())


def _loss_of(table: Table, row: Row) -> Loss | None:
    """Return the loss of one refused row, or None if it came from no socket: coverage does not rely on it."""
    if table == GAPS:
        return Loss(table.name, QUARANTINED, None, now_us())
    if table not in GATHERER_TABLES:
        return None
    values = dict(zip(table.column_names, row, strict=False))
    conn, received_us, happened_us = values.get("conn"), values.get(RECEIVED_AT), values.get(table.time_column)
    if isinstance(conn, int) and conn < SOCKETS.start:
        return None
    known_conn = conn if isinstance(conn, int) and conn in SOCKETS else None
    now = now_us()
    if not isinstance(received_us, int) or received_us > now:
        return Loss(table.name, QUARANTINED, None, now, known_conn, 1)
    if not isinstance(happened_us, int) or abs(happened_us - received_us) > LATEST_US:
        happened_us = received_us
    first_us, last_us = sorted((happened_us, received_us))
    return Loss(table.name, QUARANTINED, first_us - MARGIN_US, last_us + MARGIN_US, known_conn, 1)


def _merged(one: Loss | None, other: Loss) -> Loss:
    if one is None:
        return other
    known = one.since_us is not None and other.since_us is not None
    since_us = min(one.since_us or 0, other.since_us or 0) if known else None
    rows = (one.rows or 0) + (other.rows or 0)
    return msgspec.structs.replace(one, since_us=since_us, until_us=max(one.until_us, other.until_us), rows=rows)


def _losses_in(content: bytes) -> list[Loss]:
    try:
        return msgspec.json.decode(content, type=list[Loss])
    except msgspec.DecodeError as error:
        log.error("record of lost rows unreadable: all tables count as incomplete", reason=str(error))  # noqa: TRY400
        return [Loss(EVERY_TABLE, DAMAGED, None, now_us())]


def _summary(losses: Sequence[Loss]) -> dict[str, object]:
    known_us = [loss.since_us for loss in losses if loss.since_us is not None]
    return {
        "table": losses[0].table,
        "cause": losses[0].cause,
        "conns": sorted({loss.conn for loss in losses if loss.conn is not None}) or "all",
        "since_us": min(known_us) if len(known_us) == len(losses) else None,
        "until_us": max(loss.until_us for loss in losses),
    }


class SpoolFolder:
    """The folder that holds the spools of all tables, used by one process only, and its limit of space."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._spools: list[Spool] = []
        self._lock = FolderLock(folder)
        try:
            make_folder(folder)
        except OSError as error:
            raise ServerError(
                f"The folder {folder} cannot be created.", str(error), "set KALSHI_DATA_DIR to another one."
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
                "restore the database, or raise KALSHI_SPOOL_MAX_BYTES.",
            )
