"""The markets that are open by the gatherer's own database: followed from the start, and ended if they are gone.

In: pages of rows that an earlier run stored. Out: changes of the registry, and the known end of a market that REST no
longer shows.
"""

from collections.abc import Callable, Iterator

import gevent

from app.errors import DatabaseError
from app.kalshi.rest_client import BOOKS_PER_CALL, ComboFilter
from app.markets.ingest import RegistryUpdater
from app.markets.market import Market
from app.markets.registry import VANISHING_US
from app.markets.sync import FindUnended, MarketReader, read_in_halves
from app.runtime import logs
from app.runtime.clock import now_us
from app.runtime.events import Event
from app.runtime.health import Stopping, pause
from workers.process.group import Component

log = logs.get(__name__)

RETRY_SECONDS = 10
LOOK_SECONDS = 1


class StoredMarkets:
    """Read the unended markets of the database page by page, however long it cannot be reached."""

    def __init__(self, find_unended: FindUnended, intake: RegistryUpdater, stopping: Stopping) -> None:
        self._find_unended = find_unended
        self._intake = intake
        self._stopping = stopping

    def pages(self, combos: ComboFilter | None = None) -> Iterator[list[Market]]:
        """Yield the pages, of combos only or without them if that is asked for."""
        after = ""
        while page := self._page(after, combos):
            yield page
            after = page[-1].ticker

    def _page(self, after: str, combos: ComboFilter | None) -> list[Market]:
        while True:
            try:
                return self._find_unended(after, self._intake.now_us(), combos)
            except DatabaseError as error:
                log.warning("unended markets could not be read: retrying", reason=str(error))
            pause(self._stopping, RETRY_SECONDS)


class RecalledMarkets:
    """Follow, from the start, the markets that an earlier run knew.

    The exchange's lists take minutes at the account's request budget, and nobody would record these markets meanwhile.
    What the database has of them may be old: the first walk corrects it, and asks by name for the ones it did not meet.
    """

    def __init__(
        self,
        reading: MarketReader,
        stored: StoredMarkets,
        intake: RegistryUpdater,
        markets_walked: Event,
        stopping: Stopping,
    ) -> None:
        self.component = Component("recalled_markets", stopping)
        self._reading = reading
        self._stored = stored
        self._intake = intake
        self._markets_walked = markets_walked

    def run(self) -> None:
        self.component.run(self._run)

    def _run(self) -> None:
        count = sum(self._recall(combos) for combos in self._reading.filters)
        log.info("markets recalled from the database", markets=count)

    def _recall(self, combos: ComboFilter) -> int:
        count = 0
        for page in self._stored.pages(combos):
            # The database may have been away for so long that the walk has shown all there is.
            if self._markets_walked.is_set():
                break
            count += self._intake.recall(page)
            gevent.sleep(0)
        return count


# One answer without a market is no proof that it vanished: it must have been missing for this long.
VANISHING_SECONDS = VANISHING_US / 1_000_000


class VanishedMarkets:
    """End, once, the markets that REST stopped showing while no gatherer ran.

    No walk meets them: without this they would stay open in the database, with a hole in the coverage of every hour
    until their planned closing time.
    """

    def __init__(
        self,
        reading: MarketReader,
        intake: RegistryUpdater,
        stored: StoredMarkets,
        are_stored: Callable[[int], bool],
        markets_walked: Event,
        stopping: Stopping,
        vanishing_seconds: float = VANISHING_SECONDS,
    ) -> None:
        self.component = Component("vanished_meanwhile", stopping)
        self._reading = reading
        self._intake = intake
        self._stored = stored
        self._are_stored = are_stored
        self._markets_walked = markets_walked
        self._stopping = stopping
        self._vanishing_seconds = vanishing_seconds

    def run(self) -> None:
        self.component.run(self._run)

    def _run(self) -> None:
        while not self._markets_walked.wait(1):
            pause(self._stopping, 0)
        missing = self._missing()
        if missing:
            # Asked twice, since one answer without a market is no proof that it vanished.
            pause(self._stopping, self._vanishing_seconds)
            vanished = [market for ticker, market in self._missing().items() if ticker in missing]
            for market in vanished:
                self._intake.end(market)
            log.info("markets ended that disappeared during the outage", markets=len(vanished))

    def _missing(self) -> dict[str, Market]:
        """Return the markets that are open in the database but that REST does not show."""
        found: list[dict[str, Market]] = []
        while not found:
            self._wait_until_stored()
            if not self.component.tries(lambda: found.append(dict(self._read()))):
                pause(self._stopping, RETRY_SECONDS)
        return found[0]

    def _wait_until_stored(self) -> None:
        """Wait until all rows put so far are stored: an earlier run may have left a market's end on disk."""
        asked_us = now_us()
        while not self._are_stored(asked_us):
            pause(self._stopping, LOOK_SECONDS)

    def _read(self) -> Iterator[tuple[str, Market]]:
        """Yield the markets that are open in the database, shown by no walk, and not by REST when asked by name."""
        for page in self._stored.pages():
            unknown = {market.ticker: market for market in page if not self._intake.markets.is_shown(market.ticker)}
            tickers = list(unknown)
            for start in range(0, len(tickers), BOOKS_PER_CALL):
                asked = tickers[start : start + BOOKS_PER_CALL]
                for ticker in read_in_halves(self._reading.read_unknown, asked).missing(asked):
                    yield ticker, unknown[ticker]
