"""The worker that fetches metadata of markets which were recorded but which no gatherer has described.

In: tickers of rows in production without a market. Out: rows of markets, events and series, fetched by REST.
"""

import time
from collections.abc import Callable

from msgspec import Raw

from app.errors import DatabaseError
from app.kalshi.errors import AccessDeniedError, RequestRefusedError, RestError, UnexpectedAnswerError
from app.kalshi.rest_client import RestClient
from app.metrics import deduplicator as metrics
from app.normalize.metadata import event_row, market_row, series_row
from app.normalize.values import UnfitMessageError
from app.postgres.connection import Asker
from app.postgres.dsn import Dsn
from app.replicate.unknown_markets import Ends, is_known, store_metadata, table_ends, unknown_tickers
from app.runtime import logs
from app.runtime.clock import now_us
from app.runtime.health import Stopping
from app.runtime.threads import Offload
from app.storage.tables import EVENTS, MARKETS, SERIES, Row, Table
from workers.process.group import Component
from workers.process.loop import Loop

log = logs.get(__name__)

INTERVAL_SECONDS = 60.0
MOST_AT_ONCE = 100
# REST shows a new market some time after the stream announced it.
ASK_AGAIN_SECONDS = 600.0
COMBOS = "KXMVE%"

EVENT_OF_MARKET, SERIES_OF_EVENT = (
    MARKETS.column_names.index("event_ticker"),
    EVENTS.column_names.index("series_ticker"),
)


class MarketFetcher:
    """Fetch by REST the markets that were recorded at least a minute ago and that no gatherer has described."""

    def __init__(
        self, production: Dsn, client: RestClient, offload: Offload, stopping: Stopping, *, combos: bool = True
    ) -> None:
        self._ask = Asker(production, "market fetcher", offload)
        self._client = client
        self._but_like = () if combos else (COMBOS,)
        self._after: Ends | None = None
        self._through: Ends | None = None
        self._refused: dict[str, float] = {}
        self._loop = Loop(self._try_step, INTERVAL_SECONDS, stopping)
        self._component = Component("market_fetcher", stopping)

    def why_not_ready(self) -> str | None:
        return self._component.halted_because

    def run(self) -> None:
        self._component.run(self._loop.run)

    def step(self) -> bool:
        """Fetch the unknown markets recorded before the last step. Return True if there may be more of them."""
        if self._through is None:
            self._after = self._through = self._ask(table_ends)
            return False
        after, through, but = self._after or {}, self._through, self._still_refused()
        unknown = self._ask(
            lambda connection: unknown_tickers(connection, after, through, but, self._but_like, MOST_AT_ONCE)
        )
        for ticker in unknown:
            self._try_to_fetch(ticker)
        if len(unknown) == MOST_AT_ONCE:
            return True
        self._after, self._through = through, self._ask(table_ends)
        return False

    def _try_step(self) -> bool:
        """Run one step. A failed one covers the same rows again the next time."""
        try:
            return self.step()
        except AccessDeniedError:
            raise
        except (DatabaseError, RestError) as error:
            log.error("unknown markets could not be fetched", error=str(error))  # noqa: TRY400
            return False

    def _try_to_fetch(self, ticker: str) -> None:
        """Fetch one market. A refused one is set aside for ten minutes, so that it does not delay the others."""
        try:
            self._fetch(ticker)
        except (RequestRefusedError, UnexpectedAnswerError) as error:
            log.error("an unknown market could not be fetched", ticker=ticker, error=str(error))  # noqa: TRY400
            self._refused[ticker] = time.monotonic()

    def _fetch(self, ticker: str) -> None:
        """Fetch a market, and its event and series if production does not know them."""
        market = self._store(MARKETS, self._client.market(ticker), market_row)
        self._component.works()
        metrics.UNKNOWN_MARKETS.labels("fetched" if market else "unknown to the exchange").inc()
        if market is None:
            self._refused[ticker] = time.monotonic()
            return
        event_ticker = market[EVENT_OF_MARKET]
        if self._ask(lambda connection: is_known(connection, EVENTS, event_ticker)):
            return
        event = self._store(EVENTS, self._client.event(event_ticker), event_row)
        series_ticker = event[SERIES_OF_EVENT] if event else None
        if series_ticker and not self._ask(lambda connection: is_known(connection, SERIES, series_ticker)):
            self._store(SERIES, self._client.series(series_ticker), series_row)

    def _store(self, table: Table, content: Raw | None, row_of: Callable[[Raw, int], Row]) -> Row | None:
        """Store one object. Return its row, or None if the exchange has none or it was not understood."""
        if content is None:
            return None
        try:
            row = row_of(content, now_us())
        except UnfitMessageError as error:
            shown = bytes(content)[:200]
            log.error("REST object could not be parsed", table=table.name, error=str(error), content=shown)  # noqa: TRY400
            return None
        self._ask(lambda connection: store_metadata(connection, table, [row]))
        return row

    def _still_refused(self) -> list[str]:
        """Return the tickers that were refused lately, and forget the older ones."""
        oldest = time.monotonic() - ASK_AGAIN_SECONDS
        self._refused = {ticker: asked for ticker, asked in self._refused.items() if asked > oldest}
        return list(self._refused)
