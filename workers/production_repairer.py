import time
from datetime import datetime
from itertools import islice

from msgspec import Raw

from app import logs
from app.coverage.moments import us_of
from app.coverage.repairs import SECOND_US, Reason, Repair, next_hole, note_repair, unknown_trades
from app.coverage.volumes import note_checked, suspects_of, unchecked_hour
from app.errors import DatabaseError
from app.kalshi.rest_client import TRADES_PER_PAGE, RestClient
from app.kalshi.rest_errors import AccessDeniedError, RestError
from app.metrics import coverage as metrics
from app.normal.lineage import FROM_REST
from app.normal.trades import rest_trade_row
from app.normal.unfit import UnfitMessageError
from app.offload import Offload
from app.postgres.asker import Asker
from app.postgres.dsn import Dsn
from app.stopping import Stopping
from app.store.journal_tables import QUARANTINE
from app.store.tables import PRODUCTION_TRADES, Row
from app.store.writer import CopyWriter
from workers.component import Component

log = logs.get(__name__)

IDLE_SECONDS = 10.0


class ProductionRepairer:
    """Fetches by REST the trades that no gatherer has: of times in which nobody heard any, and of markets whose volume
    says that there were more."""

    def __init__(self, production: Dsn, client: RestClient, offload: Offload, stopping: Stopping) -> None:
        self._ask = Asker(production, "repairer", offload)
        self._client = client
        self._stopping = stopping
        self._trades = CopyWriter(PRODUCTION_TRADES, production, offload)
        self._quarantine = CopyWriter(QUARANTINE, production, offload)
        self._component = Component("production_repairer")

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
        start_us, end_us = map(us_of, repair.period)
        found = self._client.trades(start_us // SECOND_US, end_us // SECOND_US + 1, repair.ticker or None)
        trades = added = 0
        while page := list(islice(found, TRADES_PER_PAGE)):
            trades += len(page)
            added += self._store(page)
        self._ask(lambda connection: note_repair(connection, repair, trades, added))
        metrics.REPAIRED_INTERVALS.labels(repair.reason.value).inc()
        metrics.REPAIRED_TRADES.labels(repair.reason.value).inc(added)
        log.info("trades asked for", ticker=repair.ticker, **repair.period._asdict(), trades=trades, added=added)

    def _store(self, page: list[Raw]) -> int:
        """How many of them were not here."""
        received_us = time.time_ns() // 1_000
        rows, unfit = [], []
        for content in page:
            try:
                rows.append(_production_row(rest_trade_row(content, received_us)))
            except UnfitMessageError as error:
                unfit.append((received_us, PRODUCTION_TRADES.name, str(error), bytes(content)))
        if unfit:
            self._quarantine.write(unfit)
        new = self._ask(lambda connection: unknown_trades(connection, rows)) if rows else []
        return self._trades.write(new).inserted if new else 0


def _production_row(row: Row) -> Row:
    return row[: -len(FROM_REST)]
