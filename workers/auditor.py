from datetime import UTC, datetime, timedelta

from app import logs
from app.audit.audit import Audited, audit_again, audit_new
from app.coverage.knowledge import PATIENCE
from app.errors import DatabaseError
from app.metrics import coverage as metrics
from app.offload import Offload
from app.postgres.asker import Asker
from app.postgres.connection import Connection
from app.postgres.dsn import Dsn
from app.stopping import Stopping

log = logs.get(__name__)

IDLE_SECONDS = 10.0
LOOK_AGAIN_SECONDS = 600.0


class Auditor:
    """Rebuilds every book from one snapshot to the next, and says where that does not come out even."""

    def __init__(
        self,
        production: Dsn,
        offload: Offload,
        stopping: Stopping,
        patience: timedelta = PATIENCE,
        look_again_seconds: float = LOOK_AGAIN_SECONDS,
    ) -> None:
        self._ask = Asker(production, "auditor", offload)
        self._stopping = stopping
        self._patience = patience
        self._look_again_seconds = look_again_seconds

    def run(self) -> None:
        while not self._stopping.is_set():
            if not self.step():
                self._stopping.wait(IDLE_SECONDS)

    def step(self) -> bool:
        """Audits the next snapshots. False: all are audited that can be."""
        try:
            audited = self._ask(self._audit)
        except DatabaseError as error:
            # How far it came stands in the database.
            log.error("books cannot be audited", error=str(error))  # noqa: TRY400
            return False
        _show(audited)
        return audited.has_more

    def _audit(self, connection: Connection) -> Audited:
        audited = audit_new(connection, datetime.now(UTC), self._patience)
        if not audited.has_more:
            metrics.OPEN_FINDINGS.set(audit_again(connection, self._look_again_seconds))
        return audited


def _show(audited: Audited) -> None:
    for verdict, books in audited.verdicts.items():
        metrics.AUDITED_BOOKS.labels(verdict.value).inc(books)
    if audited.through:
        metrics.AUDITED_TIMESTAMP.set(audited.through.timestamp())
    for pair in audited.findings:
        log.error(
            "a book does not come out even",
            ticker=pair.ticker,
            since=pair.from_ts,
            until=pair.to_ts,
            levels=len(pair.differences),
        )
