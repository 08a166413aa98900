from collections.abc import Callable, Iterator

import gevent.event

from app import logs
from app.clock import now_us
from app.errors import DatabaseError
from app.kalshi.batches import BOOKS_PER_CALL
from app.registry.intake import Intake
from app.registry.market import Market
from app.registry.market_reading import MarketReading
from app.registry.markets import VANISHING_US
from app.registry.named_reading import read_in_halves
from app.registry.unended import FindUnended
from app.stopping import Stopping, pause
from workers.component import Component

log = logs.get(__name__)

RETRY_SECONDS = 10
LOOK_SECONDS = 1
# One answer without a market is no proof. So long must it have been missing.
VANISHING_SECONDS = VANISHING_US / 1_000_000


class VanishedMeanwhile:
    """Ends, once, the markets that REST stopped showing while nobody recorded: no walk meets them, and they would stay
    open in the database, with a hole every hour until the closing time that was planned."""

    def __init__(
        self,
        reading: MarketReading,
        intake: Intake,
        find_unended: FindUnended,
        are_stored: Callable[[int], bool],
        markets_walked: gevent.event.Event,
        stopping: Stopping,
        vanishing_seconds: float = VANISHING_SECONDS,
    ) -> None:
        self.component = Component("vanished_meanwhile", stopping)
        self._reading = reading
        self._intake = intake
        self._find_unended = find_unended
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
            pause(self._stopping, self._vanishing_seconds)
            vanished = [market for ticker, market in self._missing().items() if ticker in missing]
            for market in vanished:
                self._intake.end(market)
            log.info("markets ended that vanished while nobody recorded", markets=len(vanished))

    def _missing(self) -> dict[str, Market]:
        """Return the markets that are open in the database alone."""
        found: list[dict[str, Market]] = []
        while not found:
            self._wait_until_stored()
            if not self.component.tries(lambda: found.append(dict(self._read()))):
                pause(self._stopping, RETRY_SECONDS)
        return found[0]

    def _wait_until_stored(self) -> None:
        """The end of a market may be among the rows that an earlier run left on disk."""
        asked_us = now_us()
        while not self._are_stored(asked_us):
            pause(self._stopping, LOOK_SECONDS)

    def _read(self) -> Iterator[tuple[str, Market]]:
        for page in self._pages():
            unknown = {market.ticker: market for market in page if not self._intake.markets.knows(market.ticker)}
            tickers = list(unknown)
            for start in range(0, len(tickers), BOOKS_PER_CALL):
                asked = tickers[start : start + BOOKS_PER_CALL]
                for ticker in read_in_halves(self._reading.read_unknown, asked).missing(asked):
                    yield ticker, unknown[ticker]

    def _pages(self) -> Iterator[list[Market]]:
        after = ""
        while page := self._page(after):
            yield page
            after = page[-1].ticker

    def _page(self, after: str) -> list[Market]:
        while True:
            try:
                return self._find_unended(after, self._intake.now_us())
            except DatabaseError as error:
                log.warning("unended markets are asked for again later", reason=str(error))
            pause(self._stopping, RETRY_SECONDS)
