"""Track how long a run of the gatherer has everything on disk, and ask the database about the previous run.

Coverage and REST back-fill start from these times, so they err on the early side.
"""

from app.errors import DatabaseError
from app.postgres.connection import connected, value_of
from app.postgres.dsn import Dsn
from app.runtime import logs
from app.runtime.backoff import Backoff
from app.runtime.health import Stopping, pause
from app.runtime.threads import Offload, inline
from app.storage.tables import TRADE_CONNECTIONS, Row

log = logs.get(__name__)

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
# A gap that was still open when its run ended extends to today.
QUERY = """
    SELECT (extract(epoch FROM max(least(runs.recorded_until, lost.since))) * 1000000)::BIGINT
    FROM runs
    JOIN subscriptions USING (run_id)
    LEFT JOIN LATERAL (
        SELECT min(gaps.started_at) AS since
        FROM gaps
        WHERE gaps.run_id = runs.run_id AND gaps.conn = subscriptions.conn AND gaps.channel = 'trade'
            AND gaps.ended_at IS NULL
    ) AS lost ON TRUE
    WHERE runs.run_id < %s AND subscriptions.conn = ANY(%s) AND subscriptions.channel = 'trade'
"""


class PreviousRun:
    """Return the time until which an earlier run is known to have received every trade.

    If that run's last rows are still on disk, waiting for the database, the true time is later than the one returned.
    """

    def __init__(self, dsn: Dsn, run_id: int, stopping: Stopping, offload: Offload = inline) -> None:
        self._dsn = dsn
        self._run_id = run_id
        self._stopping = stopping
        self._offload = offload

    def trades_heard_until_us(self) -> int | None:
        """Return the time, or None if there was no earlier run.

        Wait while the database is away. Raise StoppedError when the process is stopping.
        """
        backoff = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, jitter=0.75)
        while True:
            try:
                return self._offload(self._ask)
            except DatabaseError as error:
                log.warning("end of the previous run could not be read: retrying", reason=str(error))
            pause(self._stopping, backoff.failed())

    def _ask(self) -> int | None:
        with connected(self._dsn, "previous run") as connection:
            heard_until_us: int | None = value_of(connection, QUERY, (self._run_id, list(TRADE_CONNECTIONS)))
            return heard_until_us


MARGIN_US = 1_000_000


class Run:
    """One run of the gatherer process, with the time until which everything it received is on disk.

    Its id is its start time. The reported time never goes back.
    """

    def __init__(self, run_id: int, gatherer: str) -> None:
        self.run_id = run_id
        self.recorded_until_us = run_id
        self._gatherer = gatherer

    def row(self, sure_until_us: int, ended_us: int | None = None) -> Row:
        """Return the run's row. A second is subtracted, since a frame may wait in a socket buffer for a moment."""
        self.recorded_until_us = max(self.recorded_until_us, sure_until_us - MARGIN_US)
        return (self.run_id, self._gatherer, self.run_id, self.recorded_until_us, ended_us)
