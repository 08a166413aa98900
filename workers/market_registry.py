from collections.abc import Iterator

import gevent.event
import gevent.queue

from app.clock import now_us
from app.kalshi.exchange_status import ExchangeStatus
from app.kalshi.rest_client import RestClient
from app.recording import Sink
from app.registry.change_feed import ChangeFeed, ChangeQueue
from app.registry.event_reading import EventReading
from app.registry.intake import Clock, Intake
from app.registry.market import Market
from app.registry.market_reading import MarketReading
from app.registry.markets import Markets
from app.registry.rereads import Rereads
from app.registry.settlements_since import SettlementsSince
from app.registry.unended import FindUnended
from app.settings import Settings
from workers.event_updates import EventUpdates
from workers.exchange_watch import ExchangeWatch
from workers.group import Group
from workers.lifecycle_listener import LifecycleListener
from workers.market_clock import MarketClock
from workers.market_updates import MarketUpdates
from workers.market_walk import MarketWalk
from workers.missed_settlements import MissedSettlements
from workers.rereader import Rereader
from workers.vanished_meanwhile import VanishedMeanwhile


class MarketRegistry:
    """The one place that knows which markets there are, and in which state. Everybody else asks it, or listens to it.

    Subscribe before it starts: changes are told from then on, beginning with every market there is.
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
        self._stopping = gevent.event.Event()
        self._markets = Markets()
        self._feed = ChangeFeed(self._stopping)
        market_rereads, event_rereads = Rereads("markets"), Rereads("events")
        intake = Intake(self._markets, sink, self._feed, event_rereads, clock_us)
        markets = MarketReading(client, intake, combos=settings.combos)
        events = EventReading(client, intake, combos=settings.combos)
        stopping = self._stopping
        self._watch = ExchangeWatch(client, settings.status_seconds, stopping)
        self._walk = MarketWalk(markets, intake, settings.full_reconcile_seconds, self._watch.exchange_open, stopping)
        self._events = EventUpdates(events, intake, settings.events_seconds, self._walk.walked, stopping)
        self._listener = LifecycleListener(intake, market_rereads, event_rereads, stopping, combos=settings.combos)
        walk_seconds, walked = settings.full_reconcile_seconds, self._walk.walked
        self._workers = (
            self._watch,
            self._walk,
            MissedSettlements(markets, settlements_since, walk_seconds, walked, stopping),
            VanishedMeanwhile(markets, intake, find_unended, settlements_since.are_stored, walked, stopping),
            self._events,
            self._listener,
            MarketUpdates(markets, intake, settings.reconcile_seconds, stopping),
            MarketClock(intake, market_rereads, stopping),
            Rereader("markets", market_rereads, markets.read_named, stopping, intake.vanish),
            Rereader("events", event_rereads, events.read_named, stopping),
        )

    @property
    def exchange_open(self) -> gevent.event.Event:
        """Set while any shard is active. Others connect only then."""
        return self._watch.exchange_open

    @property
    def exchange_status(self) -> ExchangeStatus | None:
        """As it was last told; None before the first answer."""
        return self._watch.status

    def start(self) -> None:
        """Begins in the background, and ends with the process or by stop()."""
        self._group.stopping.rawlink(lambda _: self._stopping.set())
        for worker in self._workers:
            self._group.spawn(worker.run)

    def stop(self) -> None:
        self._stopping.set()

    def reconcile(self) -> str | None:
        """Walks through all markets and reads the events that changed, now and not at their next time; or why not."""
        if reason := self._walk.component.why_not_ready() or self._events.component.why_not_ready():
            return reason
        self._walk.rounds.ask()
        self._events.rounds.ask()
        return None

    def subscribe_changes(self) -> ChangeQueue:
        """Holds 1,000 changes; who does not take them holds the registry up, and misses none."""
        return self._feed.subscribe()

    def set_lifecycle_source(self, frames: gevent.queue.Queue) -> None:
        """Frames as they come from the lifecycle channels, of any connection."""
        self._listener.source = frames

    def get_market(self, ticker: str) -> tuple[Market | None, bool]:
        market = self._markets.get(ticker)
        return market, market is not None

    def get_active_markets(self) -> Iterator[Market]:
        """In order of their tickers, as they are when they are met."""
        return (market for ticker in self._markets.active if (market := self._markets.get(ticker)) is not None)

    def active_tickers(self) -> Iterator[str]:
        return iter(self._markets.active)

    def is_active(self, ticker: str) -> bool:
        market = self._markets.get(ticker)
        return market is not None and market.status == "active"

    def active_page(self, after: str | None, limit: int) -> list[Market]:
        """The active markets whose tickers follow that one."""
        found = map(self._markets.get, self._markets.active.page(after, limit))
        return [market for market in found if market is not None]

    def counts(self) -> dict[str, int]:
        """How many markets there are of each status."""
        return dict(self._markets.counts)

    def why_not_ready(self) -> str | None:
        for worker in self._workers:
            if reason := worker.component.why_not_ready():
                return reason
        if self._watch.status is None:
            return "the exchange has not told its status yet"
        if not self._walk.walked.is_set():
            part = self._walk.part
            where = f"{part.status} ones" if part else "waiting for the exchange"
            return f"reading markets: {len(self._markets)} so far, {where}"
        if not self._events.read.is_set():
            return "reading events"
        return None
