from datetime import datetime
from typing import NamedTuple

from msgspec import Raw

from app.clock import now_us
from app.coverage.moments import us_of
from app.coverage.repairs import Repair, merged_until, note_repair, unknown_trades
from app.kalshi.rest_client import RestClient
from app.metrics import coverage as metrics
from app.normal.lineage import FROM_REST
from app.offload import Offload
from app.polling.backfill import trade_rows, trades_between
from app.postgres.asker import Asker
from app.postgres.dsn import Dsn
from app.store.journal_tables import QUARANTINE
from app.store.tables import PRODUCTION_TRADES, Row
from app.store.writer import CopyWriter


class Fetched(NamedTuple):
    trades: int
    added: int


class MissingTrades:
    """Fetches trades by REST into production, where those that are there stay as they are."""

    def __init__(self, production: Dsn, client: RestClient, offload: Offload) -> None:
        self._ask = Asker(production, "missing trades", offload)
        self._client = client
        self._trades = CopyWriter(PRODUCTION_TRADES, production, offload)
        self._quarantine = CopyWriter(QUARANTINE, production, offload)

    def merged_until(self) -> datetime:
        return self._ask(merged_until)

    def repair(self, repair: Repair) -> Fetched:
        """Noted as repaired when all of them are stored. After an error: repeat all of it."""
        trades = added = 0
        start_us, end_us = map(us_of, repair.period)
        for part in trades_between(self._client, start_us, end_us, repair.ticker or None):
            trades += len(part)
            added += self._store(part)
        self._ask(lambda connection: note_repair(connection, repair, trades, added))
        metrics.REPAIRED_INTERVALS.labels(repair.reason.value).inc()
        metrics.REPAIRED_TRADES.labels(repair.reason.value).inc(added)
        return Fetched(trades, added)

    def _store(self, trades: list[Raw]) -> int:
        """How many of them were not here."""
        fit, unfit = trade_rows(trades, now_us())
        rows = list(map(_production_row, fit))
        if unfit:
            self._quarantine.write(unfit)
        new = self._ask(lambda connection: unknown_trades(connection, rows)) if rows else []
        return self._trades.write(new).inserted if new else 0


def _production_row(row: Row) -> Row:
    return row[: -len(FROM_REST)]
