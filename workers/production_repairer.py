from datetime import datetime

from app import logs
from app.coverage.missing_trades import MissingTrades
from app.coverage.repairs import Reason, Repair, next_hole
from app.coverage.volumes import note_checked, suspects_of, unchecked_hour
from app.errors import DatabaseError
from app.kalshi.rest_client import RestClient
from app.kalshi.rest_errors import AccessDeniedError, RestError
from app.offload import Offload
from app.postgres.asker import Asker
from app.postgres.dsn import Dsn
from app.stopping import Stopping
from workers.component import Component

log = logs.get(__name__)

IDLE_SECONDS = 10.0


class ProductionRepairer:
    """Fetches by REST the trades that no gatherer has: of times in which nobody heard any, and of markets whose volume
    says that there were more."""

    def __init__(self, production: Dsn, client: RestClient, offload: Offload, stopping: Stopping) -> None:
        self._ask = Asker(production, "repairer", offload)
        self._trades = MissingTrades(production, client, offload)
        self._stopping = stopping
        self._component = Component("production_repairer", stopping)

    def why_not_ready(self) -> str | None:
        return self._component.halted_because

    def run(self) -> None:
        self._component.run(self._run)

    def step(self) -> bool:
        """Repairs one hole, or all that the volumes of one hour tell. False: nothing is known to be missing."""
        if hole := self._ask(next_hole):
            self._repair(hole)
            return True
        if hour := self._ask(unchecked_hour):
            self._check_volumes(hour)
            return True
        return False

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self._try_step():
                self._stopping.wait(IDLE_SECONDS)

    def _try_step(self) -> bool:
        """What fails is repeated as a whole later: what was fetched already does no harm."""
        try:
            return self.step()
        except AccessDeniedError:
            raise
        except (DatabaseError, RestError) as error:
            log.error("trades could not be repaired", error=str(error))  # noqa: TRY400
            return False

    def _check_volumes(self, hour: datetime) -> None:
        suspects = self._ask(lambda connection: suspects_of(connection, hour))
        for suspect in suspects.listed:
            self._repair(Repair(suspect.ticker, suspect.period, Reason.VOLUME))
        if suspects.markets > len(suspects.listed):
            log.error("too many markets lack trades", hour=hour, markets=suspects.markets, asked=len(suspects.listed))
        self._ask(lambda connection: note_checked(connection, hour))

    def _repair(self, repair: Repair) -> None:
        fetched = self._trades.repair(repair)
        self._component.works()
        log.info("trades asked for", ticker=repair.ticker, **repair.period._asdict(), **fetched._asdict())
