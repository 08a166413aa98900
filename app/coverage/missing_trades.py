from itertools import islice
from typing import NamedTuple

from msgspec import Raw

from app.clock import now_us
from app.coverage.moments import us_of
from app.coverage.repairs import SECOND_US, Repair, note_repair, unknown_trades
from app.kalshi.rest_client import TRADES_PER_PAGE, RestClient
from app.metrics import coverage as metrics
from app.normal.lineage import FROM_REST
from app.normal.trades import rest_trade_row
from app.normal.unfit import UnfitMessageError
from app.offload import Offload
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

    def repair(self, repair: Repair) -> Fetched:
        """Noted as repaired when all of them are stored. After an error: repeat all of it."""
        start_us, end_us = map(us_of, repair.period)
        found = self._client.trades(start_us // SECOND_US, end_us // SECOND_US + 1, repair.ticker or None)
        trades = added = 0
        while page := list(islice(found, TRADES_PER_PAGE)):
            trades += len(page)
            added += self._store(page)
        self._ask(lambda connection: note_repair(connection, repair, trades, added))
        metrics.REPAIRED_INTERVALS.labels(repair.reason.value).inc()
        metrics.REPAIRED_TRADES.labels(repair.reason.value).inc(added)
        return Fetched(trades, added)

    def _store(self, page: list[Raw]) -> int:
        """How many of them were not here."""
        received_us = now_us()
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
