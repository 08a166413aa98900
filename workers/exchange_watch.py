from datetime import UTC, datetime

import gevent.event

from app import logs
from app.kalshi.exchange_status import ExchangeStatus
from app.kalshi.rest_client import RestClient
from app.metrics.registry import ACTIVE, SYNCED, TRADING
from app.stopping import Stopping
from workers.component import Component

log = logs.get(__name__)

LEAST_PAUSE_SECONDS = 1


class ExchangeWatch:
    """Asks whether the exchange runs: before anything else, and again every interval."""

    def __init__(self, client: RestClient, interval_seconds: float, stopping: Stopping) -> None:
        self.component = Component("exchange_watch", stopping)
        self.exchange_open = gevent.event.Event()
        self.status: ExchangeStatus | None = None
        self._client = client
        self._interval_seconds = interval_seconds
        self._stopping = stopping

    def run(self) -> None:
        self.component.run(self._loop)

    def step(self) -> None:
        status = self._client.exchange_status()
        self._note(status)
        self.status = status
        shards = status.shards()
        ACTIVE.set(sum(shard.exchange_active for shard in shards))
        TRADING.set(sum(shard.trading_active for shard in shards))
        SYNCED.labels("exchange_status").set_to_current_time()
        if status.any_active:
            self.exchange_open.set()
        else:
            self.exchange_open.clear()

    def pause_seconds(self) -> float:
        """Until the exchange says it is back, where that is sooner: an estimate is no promise, either way."""
        if self.status is None or self.status.any_active:
            return self._interval_seconds
        resume_seconds = self.status.resume_seconds(datetime.now(UTC))
        return min(self._interval_seconds, max(resume_seconds or self._interval_seconds, LEAST_PAUSE_SECONDS))

    def _loop(self) -> None:
        self.component.tries(self.step)
        while not self._stopping.wait(self.pause_seconds()):
            self.component.tries(self.step)

    def _note(self, status: ExchangeStatus) -> None:
        if status == self.status:
            return
        shards = status.shards()
        log.info(
            "exchange status",
            active=status.any_active,
            trading=status.any_trading,
            inactive_shards=[shard.exchange_index for shard in shards if not shard.exchange_active],
            halted_shards=[shard.exchange_index for shard in shards if not shard.trading_active],
            estimated_resume=status.exchange_estimated_resume_time,
        )
