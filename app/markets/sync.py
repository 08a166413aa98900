"""Reading markets, events and series from REST into the registry: by lists, by name, and since a time.

The loops that call these readers are in workers/registry.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import gevent
from msgspec import Raw

from app.kalshi.errors import RequestRefusedError, RestError, UnexpectedAnswerError
from app.kalshi.rest_client import ComboFilter, EventFilter, MarketFilter, RestClient
from app.markets.ingest import RegistryUpdater, ticker_of
from app.markets.market import Market
from app.postgres.connection import Asker, Connection
from app.postgres.dsn import Dsn
from app.runtime import logs
from app.runtime.durable_files import make_folder, write_whole
from app.runtime.threads import Offload

# Reading objects by name. One name that the exchange refuses must not keep the others waiting.

log = logs.get(__name__)

ReadNamed = Callable[[list[str]], set[str]]

# After this many refusals without an answer, the exchange refuses everything, not just one of the names.
MOST_REFUSALS = 8


class Answered(NamedTuple):
    found: set[str]
    refused: set[str]  # whether these exist is unknown

    def missing(self, tickers: list[str]) -> list[str]:
        """Return the tickers that the exchange answered for and does not know."""
        return [ticker for ticker in tickers if ticker not in self.found and ticker not in self.refused]


def read_in_halves(read_named: ReadNamed, tickers: list[str]) -> Answered:
    """Read all in one request; after a refusal read the halves, down to the names that are refused alone.

    Raise the refusal if nothing but refusals is received.
    """
    found, refused = set[str](), set[str]()
    waiting = [tickers]
    refusals, answers = 0, 0
    while waiting:
        part = waiting.pop()
        try:
            found |= read_named(part)
            answers += 1
        except (RequestRefusedError, UnexpectedAnswerError) as error:
            refusals += 1
            _give_up(error, len(tickers), refusals, answers)
            if len(part) == 1:
                refused.update(part)
            else:
                waiting += [part[len(part) // 2 :], part[: len(part) // 2]]
    if refused:
        log.error("tickers refused by the exchange", tickers=len(refused), first=min(refused))
    return Answered(found, refused)


def _give_up(error: RestError, asked: int, refusals: int, answers: int) -> None:
    if not answers and (asked == 1 or refusals == MOST_REFUSALS):
        raise error


BATCH = 50


def cooperative_batches(objects: Iterable[Raw], size: int = BATCH) -> Iterator[list[Raw]]:
    """Yield the objects in small batches, letting other greenlets run after each."""
    remaining = iter(objects)
    while batch := list(islice(remaining, size)):
        yield batch
        gevent.sleep(0)


# In the order of a market's life: one that moves on during the walk is met twice rather than not at all.
UNSETTLED_MARKETS: tuple[MarketFilter, ...] = ("unopened", "open", "paused", "closed")


class MarketsPart(NamedTuple):
    """One part of the walk over all markets. Settled markets are left out: there are millions."""

    combos: ComboFilter
    status: MarketFilter


class MarketReader:
    """Read markets from REST into the registry.

    Combos are read last: there are ten times as many of them, and they hardly trade.
    """

    def __init__(self, client: RestClient, intake: RegistryUpdater, *, combos: bool) -> None:
        self._client = client
        self._intake = intake
        self.filters: tuple[ComboFilter, ...] = ("exclude", "only") if combos else ("exclude",)
        self.parts = tuple(MarketsPart(filter_, status) for filter_ in self.filters for status in UNSETTLED_MARKETS)

    def read_part(self, part: MarketsPart) -> int:
        """Read all markets of the part. Return how many there are."""
        return sum(map(len, self._take(self._client.markets(part.status, part.combos))))

    def read_changed_since(self, since_seconds: int) -> int:
        """Read the changed markets. Return how many there are.

        The exchange does not list changed combos, but only the ones it created.
        """
        changed = self._client.markets_updated_since(since_seconds)
        if "only" in self.filters:
            changed = chain(changed, self._client.markets_created_since(since_seconds, "only"))
        return sum(map(len, self._take(changed)))

    def read_settled_since(self, min_settled_ts: int) -> int:
        """Read the settled markets that the exchange has not moved to its archive. Return how many there are."""
        return sum(
            self._intake.take_settled(batch)
            for filter_ in self.filters
            for batch in cooperative_batches(self._client.markets_settled_since(min_settled_ts, filter_))
        )

    def read_named(self, tickers: list[str]) -> set[str]:
        """Read markets by name. Return the ones that REST shows.

        A market whose object cannot be read is among them: it exists.
        """
        shown = set[str]()
        for batch in cooperative_batches(self._client.named_markets(tickers)):
            self._intake.take_markets(batch)
            shown |= set(map(ticker_of, batch))
        return shown

    def read_unknown(self, tickers: list[str]) -> set[str]:
        """Read markets by name like read_named(), but only store the unknown ones, without following them."""
        shown = set[str]()
        for batch in cooperative_batches(self._client.named_markets(tickers)):
            self._intake.take_settled(batch)
            shown |= set(map(ticker_of, batch))
        return shown

    def _take(self, objects: Iterable[Raw]) -> Iterator[list[Market]]:
        return map(self._intake.take_markets, cooperative_batches(objects))


# In the order of an event's life: one that moves on during the walk is met twice rather than not at all.
UNSETTLED_EVENTS: tuple[EventFilter, ...] = ("unopened", "open", "closed")


class EventReader:
    """Read events from REST, each with its series: one that was never seen is asked for immediately."""

    def __init__(self, client: RestClient, intake: RegistryUpdater, *, combos: bool) -> None:
        self._client = client
        self._intake = intake
        self._combos = combos

    def read_named(self, tickers: list[str]) -> set[str]:
        """Read events by name. Return the ones that were found."""
        found = set(self._take(self._client.named_events(tickers)))
        missing = [ticker for ticker in tickers if ticker not in found]
        if missing and self._combos:
            found.update(self._take(self._client.named_multivariate_events(missing)))
        return found

    def read_series(self) -> None:
        for batch in cooperative_batches(self._client.series_list()):
            self._intake.take_series(batch)

    def read_unsettled(self) -> set[str]:
        """Read the unsettled events and return their tickers.

        Three kinds are not read here: events of combos; events whose markets are all paused, for which there is no
        list; and settled ones, which reach back years.
        """
        return {ticker for status in UNSETTLED_EVENTS for ticker in self._take(self._client.events(status))}

    def read_combos(self) -> int:
        return count_of(self._take(self._client.multivariate_events())) if self._combos else 0

    def read_updated_since(self, min_updated_ts: int) -> int:
        return count_of(self._take(self._client.events(min_updated_ts=min_updated_ts)))

    def _take(self, objects: Iterable[Raw]) -> Iterator[str]:
        for batch in cooperative_batches(objects):
            names = self._intake.take_events(batch)
            self._meet({name.series_ticker for name in names} - self._intake.known_series)
            yield from (name.event_ticker for name in names)

    def _meet(self, unseen: set[str]) -> None:
        for ticker in sorted(unseen):
            content = self._series(ticker)
            if content is not None:
                self._intake.take_series([content])
            # Also if it was not found, so that it is not asked for again with each of its events.
            self._intake.known_series.add(ticker)

    def _series(self, ticker: str) -> Raw | None:
        """Return the series, or None if it is not found or refused: later events must not wait for it."""
        try:
            return self._client.series(ticker)
        except (RequestRefusedError, UnexpectedAnswerError) as error:
            log.error("series request refused", ticker=ticker, error=str(error))  # noqa: TRY400
            return None


def count_of(tickers: Iterator[str]) -> int:
    return sum(1 for _ in tickers)


# Markets that are open by the gatherer's own database, whose rows may be from an earlier run.

# From a ticker and the time in microseconds to one page of the markets whose tickers follow.
FindUnended = Callable[[str, int, ComboFilter | None], list[Market]]

PAGE = 1_000
MICROSECONDS = "(extract(epoch FROM {}) * 1000000)::BIGINT"
QUERY = f"""
    SELECT ticker, event_ticker, status, market_type, result, exchange_index,
        {", ".join(map(MICROSECONDS.format, ("open_time", "close_time", "expiration_time", "updated_time")))}, title
    FROM markets
    WHERE ticker > %s AND status IN ('initialized', 'inactive', 'active', 'closed')
        AND coalesce(close_time, 'infinity') > TIMESTAMPTZ 'epoch' + %s * INTERVAL '1 microsecond'
        AND (mve_collection_ticker IS NOT NULL) IS DISTINCT FROM %s
    ORDER BY ticker LIMIT %s
"""  # noqa: S608 - of our own words


class UnendedMarkets:
    """Read the unended markets from the metadata database, page by page in the order of their tickers."""

    def __init__(self, metadata: Dsn, offload: Offload) -> None:
        self._ask = Asker(metadata, "unended markets", offload)

    def page(self, after: str, now_us: int, combos: ComboFilter | None = None) -> list[Market]:
        """Return a page of the markets whose closing time is later than `now_us` or unknown."""
        left_out = None if combos is None else combos == "exclude"

        def read(connection: Connection) -> list[Market]:
            with connection, connection.cursor() as cursor:
                cursor.execute(QUERY, (after, now_us, left_out, PAGE))
                return [Market(*row) for row in cursor.fetchall()]

        return self._ask(read)


class SettlementsSince:
    """The time since which settled markets have not been asked for.

    It stays on disk until these markets are fetched and stored: if this run ended before, the next one would look back
    only to the end of this run.
    """

    def __init__(
        self,
        file: Path,
        last_recorded_us: Callable[[], int | None],
        waiting_since_us: Callable[[], int | None],
    ) -> None:
        self._file = file
        self._last_recorded_us = last_recorded_us
        self._waiting_since_us = waiting_since_us

    def read_us(self) -> int | None:
        """Return the time, or None if nothing was recorded before this run."""
        if self._file.exists():
            return int(self._file.read_text())
        last_us = self._last_recorded_us()
        if last_us is not None:
            self._write(last_us)
        return last_us

    def are_stored(self, put_until_us: int) -> bool:
        """Return whether all rows that were put into the sink until then are stored."""
        waiting_since_us = self._waiting_since_us()
        return waiting_since_us is None or waiting_since_us > put_until_us

    def settle(self) -> None:
        self._file.unlink(missing_ok=True)

    def _write(self, since_us: int) -> None:
        make_folder(self._file.parent)
        write_whole(self._file, str(since_us).encode(), self._file.with_suffix(".new"))
