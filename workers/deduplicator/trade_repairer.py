"""The worker that fetches trades which no gatherer recorded.

In: holes of the trade channel in production's coverage, and hours whose market volumes exceed the stored trades.
Out: trades from REST, stored in production. What fails is retried later as a whole; storing a trade twice changes
nothing.
"""

import time
from collections.abc import Callable
from datetime import datetime

from app.coverage.evidence import HeardPeriod
from app.coverage.trade_repair import (
    MOST_AT_ONCE,
    MissingTrades,
    RepairReason,
    TradeRepair,
    holes_to_repair,
    note_checked,
    suspects_of,
    unchecked_hours,
)
from app.kalshi.errors import AccessDeniedError, RestError
from app.kalshi.rest_client import RestClient
from app.postgres.connection import Asker
from app.postgres.dsn import Dsn
from app.runtime import logs
from app.runtime.backoff import KeyedBackoff
from app.runtime.health import Stopping
from app.runtime.threads import Offload
from workers.process.group import Component
from workers.process.loop import Loop

log = logs.get(__name__)

IDLE_SECONDS = 10.0
# After this many refusals in a row, the exchange is at fault, not the markets: the hour is retried later.
MOST_REFUSALS = 10


class ProductionTradeRepairer:
    """Fetch by REST the trades that no gatherer has.

    These are trades of times without coverage, and of markets whose volume shows that trades are missing. A repair that
    the exchange refuses, or whose trades cannot be stored, is postponed and delays no other.
    """

    def __init__(
        self,
        production: Dsn,
        client: RestClient,
        offload: Offload,
        stopping: Stopping,
        clock: Callable[[], float] = time.monotonic,
        markets_at_once: int = MOST_AT_ONCE,
    ) -> None:
        self._markets_at_once = markets_at_once
        self._ask = Asker(production, "repairer", offload)
        self._trades = MissingTrades(production, client, offload)
        # A failed step is repeated as a whole later: fetching a trade twice does no harm.
        self._loop = Loop(self._repair_next, IDLE_SECONDS, stopping, on_failure=_not_repaired)
        self._holes: KeyedBackoff[HeardPeriod] = KeyedBackoff(clock=clock)
        self._hours: KeyedBackoff[datetime] = KeyedBackoff(clock=clock)
        self._component = Component("production_repairer", stopping)

    def why_not_ready(self) -> str | None:
        return self._component.halted_because

    def run(self) -> None:
        self._component.run(self._loop.run)

    def step(self) -> bool:
        """Repair one hole, or one hour's markets that lack volume. Return False if nothing is known to be missing."""
        return self._loop.step()

    def _repair_next(self) -> bool:
        for hole in self._ask(holes_to_repair):
            if self._holes.is_due(hole.period):
                self._repair_hole(hole)
                return True
        for hour in self._ask(unchecked_hours):
            if self._hours.is_due(hour):
                self._check_volumes(hour)
                return True
        return False

    def _repair_hole(self, hole: TradeRepair) -> None:
        if self._repair(hole):
            self._holes.succeeded(hole.period)
        else:
            self._holes.failed(hole.period)

    def _check_volumes(self, hour: datetime) -> None:
        """Repair the markets of one hour whose volume exceeds their trades, and mark the hour as checked.

        An hour with more of them than are asked for at once stays unchecked: the next step finds the rest.
        """
        suspects = self._ask(lambda connection: suspects_of(connection, hour, self._markets_at_once))
        refusals = in_a_row = 0
        for suspect in suspects.listed:
            is_repaired = self._repair(TradeRepair(suspect.ticker, suspect.period, RepairReason.VOLUME))
            refusals, in_a_row = (refusals, 0) if is_repaired else (refusals + 1, in_a_row + 1)
            if in_a_row == MOST_REFUSALS:
                break
        if refusals:
            self._hours.failed(hour)
            return
        self._hours.succeeded(hour)
        if suspects.markets > len(suspects.listed):
            figures = {"markets": suspects.markets, "asked": len(suspects.listed)}
            log.warning("trade repair of an hour goes on: very many markets lack trades", hour=hour, **figures)
            return
        self._ask(lambda connection: note_checked(connection, hour))

    def _repair(self, repair: TradeRepair) -> bool:
        """Fetch and store the trades. Return False if REST fails, or if one of the trades cannot be stored."""
        try:
            fetched = self._trades.repair(repair)
        except AccessDeniedError:
            raise
        except RestError as error:
            log.error("trade repair failed", ticker=repair.ticker, **repair.period._asdict(), error=str(error))  # noqa: TRY400
            return False
        self._component.works()
        log.info("trades requested", ticker=repair.ticker, **repair.period._asdict(), **fetched._asdict())
        if fetched.unfit:
            log.error("trade repair incomplete: trades are in quarantine", ticker=repair.ticker, trades=fetched.unfit)
        return not fetched.unfit


def _not_repaired(error: str) -> None:
    log.error("trade repair failed", error=error)
