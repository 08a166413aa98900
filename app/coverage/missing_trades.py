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
from app.store.writer import CopyWriter, Written

NO_ROWS = Written(0, 0, 0)


class Fetched(NamedTuple):
    trades: int
    added: int
    unfit: int  # in quarantine: nobody has these


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
        """Note it as repaired when all of them are stored; one that no row holds is missing still. After an error:
        repeat all of it."""
        fetched = Fetched(0, 0, 0)
        start_us, end_us = map(us_of, repair.period)
        for part in trades_between(self._client, start_us, end_us, repair.ticker or None):
            stored = self._store(part)
            fetched = Fetched(*map(sum, zip(fetched, stored, strict=True)))
        metrics.REPAIRED_TRADES.labels(repair.reason.value).inc(fetched.added)
        if not fetched.unfit:
            self._ask(lambda connection: note_repair(connection, repair, fetched.trades, fetched.added))
            metrics.REPAIRED_INTERVALS.labels(repair.reason.value).inc()
        return fetched

    def _store(self, trades: list[Raw]) -> Fetched:
        fit, unfit = trade_rows(trades, now_us())
        rows = list(map(_production_row, fit))
        if unfit:
            self._quarantine.write(unfit)
        new = self._ask(lambda connection: unknown_trades(connection, rows)) if rows else []
        written = self._trades.write(new) if new else NO_ROWS
        return Fetched(len(trades), written.inserted, len(unfit) + written.quarantined)


def _production_row(row: Row) -> Row:
    return row[: -len(FROM_REST)]
