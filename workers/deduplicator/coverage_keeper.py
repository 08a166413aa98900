"""The worker that judges coverage: for every hour, which channels and markets no gatherer received.

In: the gatherers' journals as copied into production. Out: production's coverage tables, and metrics of the last day.
"""

import time
from datetime import UTC, datetime, timedelta

from app.coverage.evidence import BOOKS, PATIENCE
from app.coverage.hours import Holes, JudgedHour, holes_of_the_last_day, judge_next_hour
from app.coverage.retention import forget
from app.metrics import deduplicator as metrics
from app.postgres.connection import Asker, Connection
from app.postgres.dsn import Dsn
from app.runtime import logs
from app.runtime.health import Stopping
from app.runtime.threads import Offload
from kalshi_data.layout import HOUR
from workers.process.loop import Loop

log = logs.get(__name__)

IDLE_SECONDS = 5.0
SHORTEST_PAUSE_SECONDS = 60.0
COUNT_HOLES_SECONDS = 600.0
FORGET_SECONDS = 3_600.0
# Hours are judged again when evidence arrives late; that may take one part in twenty of the time.
PAUSE_PER_WORK = 20


class CoverageKeeper:
    """Record for every hour what no gatherer received, and judge the hour again when later evidence arrives."""

    def __init__(
        self,
        production: Dsn,
        offload: Offload,
        stopping: Stopping,
        patience: timedelta = PATIENCE,
        shortest_pause_seconds: float = SHORTEST_PAUSE_SECONDS,
    ) -> None:
        self._ask = Asker(production, "coverage keeper", offload)
        # Nothing is lost by a failure: the hours still to judge are recorded in the database.
        self._loop = Loop(self._judge, IDLE_SECONDS, stopping, on_failure=_not_judged)
        self._patience = patience
        self._shortest_pause_seconds = self._pause_seconds = shortest_pause_seconds
        self._count_holes_at = self._forget_at = 0.0

    def run(self) -> None:
        self._loop.run()

    def step(self) -> bool:
        """Judge one hour. Return False if none is due."""
        return self._loop.step()

    def _judge(self) -> bool:
        kept, seconds = self._ask(self._keep)
        _show(kept)
        if kept.judged is None:
            return False
        metrics.JUDGE_SECONDS.observe(seconds)
        self._pause_seconds = max(self._shortest_pause_seconds, PAUSE_PER_WORK * seconds)
        log.info("coverage of an hour computed", **kept.judged._asdict(), seconds=round(seconds, 2))
        return True

    def _keep(self, connection: Connection) -> tuple[JudgedHour, float]:
        """Judge one hour. Return the result and how many seconds the judging took.

        Deleting old rows is not counted: it may take minutes, and that is no reason to judge less often.
        """
        started = time.monotonic()
        kept = judge_next_hour(connection, datetime.now(UTC), self._patience, timedelta(seconds=self._pause_seconds))
        seconds = time.monotonic() - started
        # Only a judged hour or the passing of time changes the holes of the last day, and counting them is expensive.
        if kept.judged or time.monotonic() > self._count_holes_at:
            _show_holes(holes_of_the_last_day(connection))
            self._count_holes_at = time.monotonic() + COUNT_HOLES_SECONDS
        if time.monotonic() > self._forget_at:
            forget(connection, datetime.now(UTC))
            self._forget_at = time.monotonic() + FORGET_SECONDS
        return kept, seconds


def _not_judged(error: str) -> None:
    log.error("coverage could not be computed: retrying", error=error)


def _show(kept: JudgedHour) -> None:
    metrics.KNOWN_UNTIL_TIMESTAMP.set(kept.known_until.timestamp())
    metrics.BEHIND_SECONDS.set(kept.hours_waiting * HOUR.total_seconds())


def _show_holes(holes: list[Holes]) -> None:
    metrics.HOLE_MARKETS.set(0)
    metrics.HOLE_SECONDS.clear()
    for each in holes:
        if each.channel == BOOKS:
            metrics.HOLE_MARKETS.set(each.markets)
        else:
            metrics.HOLE_SECONDS.labels(each.channel).set(each.exchange_seconds)
