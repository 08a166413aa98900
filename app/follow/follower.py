import io
from collections.abc import Sequence
from typing import NamedTuple

from app import logs
from app.follow.copies import Copy, Statements
from app.follow.cursors import NOTHING, Through, is_older_state, read_through, save_cursor, system_identifier
from app.postgres.claim import claimed
from app.postgres.connection import Connection, connected
from app.postgres.dsn import Dsn
from app.store.arrivals import arrivals, arrivals_session

log = logs.get(__name__)

BATCH_ROWS = 5_000


class _Batch(NamedTuple):
    identifier: int
    after: Through
    content: bytes


class Follower:
    """Copies some tables of one gatherer's database into production, from where it stopped last."""

    def __init__(
        self, gatherer: str, source: Dsn, production: Dsn, copies: Sequence[Copy], batch_rows: int = BATCH_ROWS
    ) -> None:
        self.gatherer = gatherer
        self._source = source
        self._production = production
        self._copies = {copy: Statements(copy) for copy in copies}
        self._batch_rows = batch_rows

    def round(self) -> dict[str, int]:
        """Reads on until nothing is left. How many rows came, by table; nothing where another process is at it."""
        name = f"follower {self.gatherer}"
        with connected(self._production, name) as production, claimed(production, name) as is_ours:
            if not is_ours:
                return {}
            with arrivals_session(self._source, name) as session:
                return self.follow(session, production)

    def follow(self, session: Connection, production: Connection) -> dict[str, int]:
        return {copy.source.name: self._follow(copy, session, production) for copy in self._copies}

    def _follow(self, copy: Copy, session: Connection, production: Connection) -> int:
        rows = 0
        while True:
            batch = self._read(copy, session, production)
            stored = self._store(copy, batch, production)
            rows += stored
            if stored < self._batch_rows:
                return rows

    def _read(self, copy: Copy, session: Connection, production: Connection) -> _Batch:
        with arrivals(session, copy.source.name) as cursor:
            identifier = system_identifier(cursor)
            after = read_through(production, self.gatherer, copy.source.name, identifier)
            if is_older_state(cursor, copy.source, after):
                log.warning(
                    "read anew: older than when it was read last", gatherer=self.gatherer, table=copy.source.name
                )
                after = NOTHING
            content = io.BytesIO()
            cursor.copy_expert(self._copies[copy].read(after.ingest_id, self._batch_rows), content)
        return _Batch(identifier, after, content.getvalue())

    def _store(self, copy: Copy, batch: _Batch, production: Connection) -> int:
        statements = self._copies[copy]
        with production, production.cursor() as cursor:
            cursor.execute(statements.create_staging)
            cursor.copy_expert(statements.load, io.BytesIO(batch.content))
            cursor.execute(statements.progress)
            rows, *through = cursor.fetchone() or (0, *NOTHING)
            if rows:
                cursor.execute(statements.lock)
                cursor.execute(statements.merge, {"gatherer": self.gatherer})
            save_cursor(cursor, self.gatherer, copy.source.name, batch.identifier, batch.after.and_then(*through))
        return int(rows)
