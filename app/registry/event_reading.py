from collections.abc import Iterable, Iterator

from msgspec import Raw

from app import logs
from app.kalshi.rest_client import EventFilter, RestClient
from app.kalshi.rest_errors import RequestRefusedError, UnexpectedAnswerError
from app.registry.intake import Intake
from app.registry.unhurried import unhurried

log = logs.get(__name__)

# In the order of an event's life: one that goes on meanwhile is met twice rather than not at all.
UNSETTLED: tuple[EventFilter, ...] = ("unopened", "open", "closed")


class EventReading:
    """Events with their series: one that was never seen is asked for at once."""

    def __init__(self, client: RestClient, intake: Intake, *, combos: bool) -> None:
        self._client = client
        self._intake = intake
        self._combos = combos

    def read_named(self, tickers: list[str]) -> set[str]:
        """Which of them were found."""
        found = set(self._take(self._client.named_events(tickers)))
        missing = [ticker for ticker in tickers if ticker not in found]
        if missing and self._combos:
            found.update(self._take(self._client.named_multivariate_events(missing)))
        return found

    def read_series(self) -> None:
        for batch in unhurried(self._client.series_list()):
            self._intake.take_series(batch)

    def read_unsettled(self) -> set[str]:
        """Which there are, without combos' and without those whose markets are all paused, of which there is no list.
        Of those that are settled there are years."""
        return {ticker for status in UNSETTLED for ticker in self._take(self._client.events(status))}

    def read_combos(self) -> int:
        return count_of(self._take(self._client.multivariate_events())) if self._combos else 0

    def read_updated_since(self, min_updated_ts: int) -> int:
        return count_of(self._take(self._client.events(min_updated_ts=min_updated_ts)))

    def _take(self, objects: Iterable[Raw]) -> Iterator[str]:
        for batch in unhurried(objects):
            names = self._intake.take_events(batch)
            self._meet({name.series_ticker for name in names} - self._intake.known_series)
            yield from (name.event_ticker for name in names)

    def _meet(self, unseen: set[str]) -> None:
        for ticker in sorted(unseen):
            content = self._series(ticker)
            if content is not None:
                self._intake.take_series([content])
            # Also one that is not found: it is not asked for again with every event of it.
            self._intake.known_series.add(ticker)

    def _series(self, ticker: str) -> Raw | None:
        """Return None also for one that the exchange refuses: events that follow in the list must not wait for it."""
        try:
            return self._client.series(ticker)
        except (RequestRefusedError, UnexpectedAnswerError) as error:
            log.error("series refused", ticker=ticker, error=str(error))  # noqa: TRY400
            return None


def count_of(tickers: Iterator[str]) -> int:
    return sum(1 for _ in tickers)
