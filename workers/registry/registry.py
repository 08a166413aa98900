"""The market registry as other parts of the gatherer see it, with the clock and the exchange's status beside it.

In: REST, lifecycle frames, ticker rows and the clock. Out: questions answered from memory, and queues of changes.
The workers that feed it are in this package; the data structure and its rules are in app/markets.
"""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import gevent
import gevent.queue

from app.kalshi.rest_client import RestClient
from app.kalshi.rest_objects import ExchangeStatus
from app.markets.ingest import ChangeFeed, ChangeQueue, Clock, RegistryUpdater, new_queue
from app.markets.market import Market
from app.markets.refetch_queue import RefetchQueue
from app.markets.registry import Markets
from app.markets.sync import EventReader, FindUnended, MarketReader, SettlementsSince
from app.metrics.gatherer import ACTIVE, MARKETS, SYNCED, TRADING
from app.runtime import logs
from app.runtime.clock import now_us
from app.runtime.events import Event
from app.runtime.health import StoppedError, Stopping
from app.settings import Settings
from app.storage.tables import Row
from app.storage.write_queue import Sink
from workers.process.group import Component, Group
from workers.process.loop import Loop
from workers.registry.event_sync import EventSync
from workers.registry.known_markets import RecalledMarkets, StoredMarkets, VanishedMarkets
from workers.registry.lifecycle_listener import LifecycleListener, Refetcher
from workers.registry.market_sync import MarketSync, MarketUpdates, MissedSettlements

IDLE_SECONDS = 0.5
TURNS_AT_ONCE = 50


class MarketClock:
    """Open and close markets at their scheduled times, since no message announces that, and have REST confirm it."""

    def __init__(self, intake: RegistryUpdater, rereads: RefetchQueue, stopping: Stopping) -> None:
        self.component = Component("market_clock", stopping)
        self._intake = intake
        self._rereads = rereads
        self._loop = Loop(self.step, IDLE_SECONDS, stopping)

    def run(self) -> None:
        self.component.run(self._loop.run)

    def step(self) -> bool:
        """Apply the changes that are due, up to a batch. Return True if more may be due."""
        for _ in range(TURNS_AT_ONCE):
            change = self._intake.next_clock_change()
            if change is None:
                self._update_size_metrics()
                return False
            if change.old_status != change.new_status:
                self._rereads.confirm(change.ticker)
        return True

    def _update_size_metrics(self) -> None:
        for status, count in self._intake.markets.counts.items():
            MARKETS.labels(status).set(count)


log = logs.get(__name__)

LEAST_PAUSE_SECONDS = 1


class ExchangeStatusWatch:
    """Ask for the exchange's status: before anything is read, and again every interval."""

    def __init__(self, client: RestClient, interval_seconds: float, stopping: Stopping) -> None:
        self.component = Component("exchange_watch", stopping)
        self.exchange_open = Event()
        self.status: ExchangeStatus | None = None
        self._client = client
        self._interval_seconds = interval_seconds
        self._loop = Loop(self._try_step, self.pause_seconds, stopping)

    def run(self) -> None:
        self.component.run(self._loop.run)

    def step(self) -> None:
        status = self._client.exchange_status()
        self._note(status)
        self.status = status
        shards = status.shards()
        ACTIVE.set(sum(shard.exchange_active for shard in shards))
        TRADING.set(sum(shard.trading_active for shard in shards))
        SYNCED.labels("exchange_status").set_to_current_time()
        if status.any_active:
            self.exchange_open.set()
        else:
            self.exchange_open.clear()

    def pause_seconds(self) -> float:
        """Return the time to the next request: the interval, or until the announced resumption if that is sooner.

        The exchange's estimate can be wrong in both directions, so it never lengthens the interval.
        """
        if self.status is None or self.status.any_active:
            return self._interval_seconds
        resume_seconds = self.status.resume_seconds(datetime.now(UTC))
        return min(self._interval_seconds, max(resume_seconds or self._interval_seconds, LEAST_PAUSE_SECONDS))

    def _try_step(self) -> None:
        self.component.tries(self.step)

    def _note(self, status: ExchangeStatus) -> None:
        if status == self.status:
            return
        shards = status.shards()
        log.info(
            "exchange status",
            active=status.any_active,
            trading=status.any_trading,
            inactive_shards=[shard.exchange_index for shard in shards if not shard.exchange_active],
            halted_shards=[shard.exchange_index for shard in shards if not shard.trading_active],
            estimated_resume=status.exchange_estimated_resume_time,
        )


MARKETS_AT_ONCE = 500


class MarketRegistry:
    """The single source for the set of markets and their states, for other parts to query or subscribe to.

    docs/registry.md maps its calls and fields to the interface that was asked for.
    """

    def __init__(
        self,
        client: RestClient,
        sink: Sink,
        settings: Settings,
        group: Group,
        settlements_since: SettlementsSince,
        find_unended: FindUnended,
        clock_us: Clock = now_us,
    ) -> None:
        self._group = group
        self._stopping = Event()
        self._greenlets: list[gevent.Greenlet] = []  # bounded: workers, and parts of the process that subscribe
        client = client.stopped_by(self._stopping)
        self._markets = Markets(lambda: self.exchange_status)
        self._feed = ChangeFeed(self._stopping)
        market_rereads, event_rereads = RefetchQueue("markets"), RefetchQueue("events")
        intake = self._intake = RegistryUpdater(self._markets, sink, self._feed, event_rereads, clock_us)
        markets = MarketReader(client, intake, combos=settings.combos)
        events = EventReader(client, intake, combos=settings.combos)
        stopping = self._stopping
        self._watch = ExchangeStatusWatch(client, settings.status_seconds, stopping)
        self._walk = MarketSync(markets, intake, settings.full_reconcile_seconds, self._watch.exchange_open, stopping)
        self._events = EventSync(events, intake, settings.events_seconds, self._walk.walked, stopping)
        self._listener = LifecycleListener(intake, market_rereads, event_rereads, stopping, combos=settings.combos)
        walk_seconds, walked = settings.full_reconcile_seconds, self._walk.walked
        stored = StoredMarkets(find_unended, intake, stopping)
        self._workers = (
            self._watch,
            RecalledMarkets(markets, stored, intake, walked, stopping),
            self._walk,
            MissedSettlements(markets, settlements_since, walk_seconds, walked, stopping),
            VanishedMarkets(markets, intake, stored, settlements_since.are_stored, walked, stopping),
            self._events,
            self._listener,
            MarketUpdates(markets, intake, settings.reconcile_seconds, stopping),
            MarketClock(intake, market_rereads, stopping),
            Refetcher("markets", market_rereads, markets.read_named, stopping, intake.vanish),
            Refetcher("events", event_rereads, events.read_named, stopping),
        )

    @property
    def exchange_open(self) -> Event:
        """Return the event that is set while any shard is active. Connections are opened only then."""
        return self._watch.exchange_open

    @property
    def exchange_status(self) -> ExchangeStatus | None:
        """Return the latest status of the exchange, or None before the first answer."""
        return self._watch.status

    def start(self) -> None:
        """Start the workers in the background; they end with the process or by stop()."""
        self._group.stopping.rawlink(lambda _: self._stopping.set())
        self._greenlets += [self._group.spawn(worker.run) for worker in self._workers]

    def stop(self) -> None:
        """Stop the workers and wait for them to end, including a request in progress."""
        self._stopping.set()
        gevent.joinall(self._greenlets)

    def reconcile(self) -> str | None:
        """Start a walk over all markets and a read of changed events now. Return why that is impossible, or None."""
        if reason := self._walk.component.why_not_ready() or self._events.component.why_not_ready():
            return reason
        self._walk.rounds.ask()
        self._events.rounds.ask()
        return None

    def subscribe_changes(self) -> ChangeQueue:
        """Return a queue of changes, beginning with every market there is.

        A late subscriber first receives, as `created`, the markets that are active or to be recorded. The queue holds
        1,000 changes: a slow subscriber blocks the registry, and misses nothing.
        """
        if not self._greenlets:
            return self._feed.subscribe()
        queue = new_queue()
        self._greenlets.append(self._group.spawn(partial(self._put_known_markets, queue)))
        return queue

    def set_lifecycle_source(self, frames: gevent.queue.Queue) -> None:
        """Set the queue of frames from the lifecycle channels, of any connection."""
        self._listener.source = frames

    def apply_tickers(self, rows: list[Row]) -> None:
        """Learn quotes and volumes from ticker rows of one connection. Called for every ticker message."""
        self._markets.quotes.apply_tickers(rows)

    def get_market(self, ticker: str) -> Market | None:
        """Return the market. None if it does not exist, or settled more than a day ago."""
        return self._markets.get(ticker)

    def get_active_markets(self) -> list[Market]:
        """Return a new list of the active markets, in the order of tickers.

        Other greenlets run while it is made: each market is in the state in which it was met.
        """
        found: list[Market] = []
        while page := self.active_page(found[-1].ticker if found else None, MARKETS_AT_ONCE):
            found += page
            gevent.sleep(0)
        return found

    def active_tickers(self) -> Iterator[str]:
        return iter(self._markets.active)

    def is_active(self, ticker: str) -> bool:
        return self._markets.is_active(ticker)

    def active_page(self, after: str | None, limit: int) -> list[Market]:
        """Return up to `limit` active markets whose tickers follow `after`; None begins at the first."""
        found = map(self._markets.get, self._markets.active.page(after, limit))
        return [market for market in found if market is not None]

    def counts(self) -> dict[str, int]:
        """Return the number of markets by status."""
        return dict(self._markets.counts)

    def why_not_ready(self) -> str | None:
        for worker in self._workers:
            if reason := worker.component.why_not_ready():
                return reason
        if self._watch.status is None:
            return "the exchange's status is not known yet"
        if not self._walk.walked.is_set():
            walked = self._markets.walked
            return f"reading markets: {walked:,} so far{self._walk.words(walked)}"
        if not self._events.read.is_set():
            return "reading events"
        return None

    def _put_known_markets(self, queue: ChangeQueue) -> None:
        # Stopping is no failure: the subscriber stops too.
        with contextlib.suppress(StoppedError):
            self._intake.introduce(queue)
