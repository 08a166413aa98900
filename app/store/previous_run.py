import random

from app import logs
from app.errors import DatabaseError
from app.offload import Offload, inline
from app.postgres.connection import connected, value_of
from app.postgres.dsn import Dsn
from app.stopping import Stopping, pause

log = logs.get(__name__)

LONGEST_PAUSE_SECONDS = 30
QUERY = "SELECT (extract(epoch FROM max(recorded_until)) * 1000000)::BIGINT FROM runs WHERE run_id < %s"


class PreviousRun:
    """Up to when an earlier run is known to have recorded everything.

    Its last rows may still be on disk, waiting for the database: then it was sure for longer than it is said here.
    """

    def __init__(self, dsn: Dsn, run_id: int, stopping: Stopping, offload: Offload = inline) -> None:
        self._dsn = dsn
        self._run_id = run_id
        self._stopping = stopping
        self._offload = offload

    def recorded_until_us(self) -> int | None:
        """None: there was no run before. Waits while the database is away; StoppedError when we are stopping."""
        limit_seconds = 1.0
        while True:
            try:
                return self._offload(self._ask)
            except DatabaseError as error:
                log.warning("when the previous run ended is asked for again later", reason=str(error))
            pause(self._stopping, random.uniform(limit_seconds / 4, limit_seconds))  # noqa: S311 - nobody has to guess
            limit_seconds = min(2 * limit_seconds, LONGEST_PAUSE_SECONDS)

    def _ask(self) -> int | None:
        with connected(self._dsn, "previous run") as connection:
            recorded_until_us: int | None = value_of(connection, QUERY, (self._run_id,))
            return recorded_until_us
