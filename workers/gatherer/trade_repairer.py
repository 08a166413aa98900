"""The worker of a gatherer that fetches by REST the trades of times in which no socket was subscribed to them.

In: gaps that all trade connections share, and the end of the last run. Out: trades, put into the same sink.
"""

from collections.abc import Callable

from app.kalshi.errors import AccessDeniedError, RestError
from app.kalshi.rest_client import RestClient
from app.metrics import rest as metrics
from app.polling.trades import Interval, Intervals, backfill
from app.runtime import logs
from app.runtime.clock import now_us
from app.runtime.health import Stopping, pause
from app.storage.write_queue import Sink
from workers.process.group import Component
from workers.process.loop import Loop

log = logs.get(__name__)

IDLE_SECONDS = 1.0
RETRY_SECONDS = 30.0
# REST shows a trade only some time after it happened.
SETTLE_SECONDS = 5.0
# The last run may have ended before it fetched the trades of its latest gap.
BEFORE_ITS_END_US = 60_000_000


class TradeRepairer:
    """Fetch the trades of times in which no socket received any: since the last run, and in this run's gaps."""

    def __init__(
        self,
        client: RestClient,
        sink: Sink,
        last_recorded_us: Callable[[], int | None],
        stopping: Stopping,
        settle_seconds: float = SETTLE_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
        clock_us: Callable[[], int] = now_us,
    ) -> None:
        self._client = client
        self._sink = sink
        self._last_recorded_us = last_recorded_us
        self._stopping = stopping
        self._settle_us = int(settle_seconds * 1_000_000)
        self._retry_seconds = retry_seconds
        self._clock_us = clock_us
        self._unheard = Intervals()
        self._knows_last_run = False
        self.component = Component("trade_repairer", stopping)

    def repair(self, started_us: int, ended_us: int) -> None:
        """Remember that no socket received trades in this interval. Never blocks."""
        self._unheard.add(Interval(started_us, ended_us))
        self._count()

    def run(self) -> None:
        self.component.run(self._run)

    def _run(self) -> None:
        if not self._knows_last_run:
            self._repair_since_last_run()
            self._knows_last_run = True
        Loop(self.step, IDLE_SECONDS, self._stopping).run()

    def step(self) -> bool:
        """Fetch one interval, or an hour of it. Return True while there may be more."""
        piece = self._unheard.next_piece(self._clock_us() - self._settle_us)
        if piece is None:
            return False
        try:
            done = backfill(self._client, self._sink, *piece, self._clock_us)
        except AccessDeniedError:
            raise
        except RestError as error:
            metrics.REPAIR_ERRORS.inc()
            log.error("trades not fetched", **piece._asdict(), reason=str(error))  # noqa: TRY400
            pause(self._stopping, self._retry_seconds)
            return True
        self.component.works()
        self._unheard.remove(piece)
        metrics.TRADES_FETCHED.inc(done.trades)
        self._count()
        log.info("trades fetched", **piece._asdict(), **done._asdict())
        return True

    def _repair_since_last_run(self) -> None:
        last_us = self._last_recorded_us()
        if last_us is not None and last_us < (now := self._clock_us()):
            self.repair(last_us - BEFORE_ITS_END_US, now)

    def _count(self) -> None:
        metrics.INTERVALS_WAITING.set(len(self._unheard))
        metrics.SECONDS_WAITING.set(self._unheard.seconds)
