import io
from collections.abc import Sequence
from typing import NamedTuple

from app import logs
from app.follow.copies import Copy, Statements
from app.follow.cursors import NOTHING, Through, is_older_state, read_through, save_cursor, system_identifier
from app.postgres.claim import claimed
from app.postgres.connection import Connection, connect
from app.postgres.dsn import Dsn
from app.postgres.kept_connection import KeptConnection
from app.store.arrivals import arrivals, connect_for_arrivals
from app.store.pgcopy import HEADER, TRAILER

log = logs.get(__name__)

BATCH_ROWS = 5_000


class _Batch(NamedTuple):
    identifier: int
    after: Through
    is_read_anew: bool  # or for the first time
    content: bytes

    @property
    def has_rows(self) -> bool:
        return len(self.content) > len(HEADER) + len(TRAILER)


class Follower:
    """Copies some tables of one gatherer's database into production, from where it stopped last. Where nothing came,
    nothing is written."""

    def __init__(
        self, gatherer: str, source: Dsn, production: Dsn, copies: Sequence[Copy], batch_rows: int = BATCH_ROWS
    ) -> None:
        self.gatherer = gatherer
        self._copies = {copy: Statements(copy) for copy in copies}
        self._batch_rows = batch_rows
        self._name = name = f"follower {gatherer}"
        self._source = KeptConnection(
            lambda: connect_for_arrivals(source, name),
            f"Following the database of {gatherer} failed.",
            "run kalshi-data migrate there.",
        )
        self._production = KeptConnection(lambda: connect(production, name), f"Storing what {gatherer} knows failed.")

    def round(self) -> dict[str, int]:
        """Reads on until nothing is left. How many rows came, by table; nothing where another process is at it."""
        with self._production.opened() as production, claimed(production, self._name) as is_ours:
            if not is_ours:
                return {}
            with self._source.opened() as session:
                return self.follow(session, production)

    def follow(self, session: Connection, production: Connection) -> dict[str, int]:
        return {copy.source.name: self._follow(copy, session, production) for copy in self._copies}

    def close(self) -> None:
        self._source.close()
        self._production.close()

    def _follow(self, copy: Copy, session: Connection, production: Connection) -> int:
        rows = 0
        while True:
            batch = self._read(copy, session, production)
            stored = self._store(copy, batch, production) if batch.has_rows or batch.is_read_anew else 0
            rows += stored
            if stored < self._batch_rows:
                return rows

    def _read(self, copy: Copy, session: Connection, production: Connection) -> _Batch:
        statements = self._copies[copy]
        with arrivals(session, copy.source.name) as cursor, production:
            identifier = system_identifier(cursor)
            through = read_through(production, self.gatherer, copy.source.name, identifier)
            after = through or NOTHING
            is_older = is_older_state(cursor, statements.is_older, after)
            if is_older:
                log.warning(
                    "read anew: older than when it was read last", gatherer=self.gatherer, table=copy.source.name
                )
                after = NOTHING
            content = io.BytesIO()
            cursor.copy_expert(statements.read(after.ingest_id, self._batch_rows), content)
        return _Batch(identifier, after, is_older or through is None, content.getvalue())

    def _store(self, copy: Copy, batch: _Batch, production: Connection) -> int:
        statements = self._copies[copy]
        rows, through = 0, batch.after
        with production, production.cursor() as cursor:
            if batch.has_rows:
                cursor.execute(statements.create_staging)
                cursor.copy_expert(statements.load, io.BytesIO(batch.content))
                cursor.execute(statements.progress)
                rows, *staged = cursor.fetchone() or (0, *NOTHING)
                through = _further(copy, batch.after, Through(*staged))
                cursor.execute(statements.lock)
                cursor.execute(statements.merge, {"gatherer": self.gatherer})
            save_cursor(cursor, self.gatherer, copy.source.name, batch.identifier, through)
        return rows


def _further(copy: Copy, before: Through, staged: Through) -> Through:
    """The row read last proves a journal. What is newest of a catalogue may have been read long ago."""
    if copy.is_per_gatherer:
        return staged
    known_us = [time_us for time_us in (before.probe, staged.probe) if time_us is not None]
    return Through(max(before.ingest_id, staged.ingest_id), max(known_us, default=None))
