"""The gatherer process: builds all parts from the settings, runs them, and stops them in order.

In: settings. Out: a process that ends only after its rows are stored or spooled. Read `Gatherer.__init__` for how the
parts are connected. Producers stop first; then the writers drain what was received.
"""

import os
from collections.abc import Callable
from typing import TypeVar

from prometheus_client import REGISTRY

from app.errors import OperatorError, SettingsError
from app.kalshi.request_budget import BASIC, BudgetLimits, Priority
from app.kalshi.rest_client import RestClient
from app.kalshi.rest_objects import AccountLimits
from app.kalshi.rest_transport import transport_of
from app.kalshi.websocket import WebSocket
from app.markets.market import Market
from app.markets.sync import SettlementsSince, UnendedMarkets
from app.metrics.process import COMPONENT_HALTED
from app.metrics.rest import RestBudgetCollector
from app.normalize.values import contracts, dollars
from app.ops.live import (
    LiveBook,
    LiveConnection,
    LiveMarket,
    LivePolling,
    LiveSubscription,
    MarketPage,
    book_of,
    moment,
)
from app.polling.book_cycles import fetchers_for, intervals_of, part_of
from app.postgres.dsn import Dsn
from app.runtime import logs
from app.runtime.clock import now_us
from app.runtime.health import Readiness
from app.runtime.threads import threads
from app.settings import Settings
from app.storage.runs import PreviousRun, Run
from app.storage.write_queue import Sink
from app.subscriptions.dial_queue import socket_factory, sockets_of
from workers.gatherer.admission import Admission
from workers.gatherer.connection import ConnectionContext
from workers.gatherer.connection_manager import ConnectionManager
from workers.gatherer.snapshot_poller import SnapshotPoller
from workers.gatherer.trade_repairer import TradeRepairer
from workers.gatherer.writers import RunKeeper, WritePipeline
from workers.process.group import Component, Group
from workers.process.service import service_workers
from workers.registry.lifecycle_listener import LifecycleFrames
from workers.registry.registry import MarketRegistry

log = logs.get(__name__)


class RequestLimits:
    """Ask for the account's request budget, and start as many polling greenlets as it can use."""

    def __init__(self, client: RestClient, gatherers: int, poller: SnapshotPoller, group: Group) -> None:
        self.component = Component("account", group.stopping)
        self._client = client
        self._gatherers = gatherers
        self._poller = poller
        self._group = group
        self._fetchers = 0

    def run(self) -> None:
        self.component.run(self._adopt)

    def _adopt(self) -> None:
        adopted: list[AccountLimits | None] = []
        try:
            self.component.tries(lambda: adopted.append(self._client.adopt_account_limits(self._gatherers)))
        finally:
            # Without an answer that is understood, the lowest tier is assumed: recording goes on.
            limits = adopted[0] if adopted else None
            self._poll(limits.read.limits if limits else BASIC)

    def _poll(self, read: BudgetLimits) -> None:
        log.info("request budget read", tokens_per_second=read.tokens_per_second, shared_by=self._gatherers)
        fetchers = fetchers_for(read.shared_by(self._gatherers))
        self._poller.start(self._group, max(fetchers - self._fetchers, 0))
        self._fetchers = max(fetchers, self._fetchers)


Shown = TypeVar("Shown")


class GathererLiveState:
    """The live state shown on the ops port, read from the registry, the connections and the poller."""

    def __init__(self, registry: MarketRegistry, connections: ConnectionManager, poller: SnapshotPoller) -> None:
        self._registry = registry
        self._connections = connections
        self._poller = poller

    def active_markets(self, after: str, limit: int) -> MarketPage:
        page = self._registry.active_page(after or None, limit)
        return MarketPage([_market(market) for market in page], page[-1].ticker if len(page) == limit else None)

    def market(self, ticker: str) -> LiveMarket | None:
        market = self._registry.get_market(ticker)
        return None if market is None else _market(market)

    def connections(self) -> list[LiveConnection]:
        return self._connections.connections()

    def subscriptions(self, ticker: str | None = None) -> list[LiveSubscription]:
        conn = None if ticker is None else self._connections.connection_of(ticker)
        return [each for each in self._connections.subscriptions() if ticker is None or each.conn == conn]

    def polling(self) -> list[LivePolling]:
        return self._poller.polling()

    def poll_now(self, ticker: str) -> LiveBook:
        return book_of(self._poller.poll_now(ticker))

    def reconcile(self) -> str | None:
        return self._registry.reconcile()


def _market(market: Market) -> LiveMarket:
    return LiveMarket(
        ticker=market.ticker,
        event_ticker=market.event_ticker,
        title=market.title,
        status=market.status,
        trading_status=market.trading_status,
        market_type=market.market_type,
        result=market.result,
        exchange_index=market.exchange_index,
        yes_bid=_if_known(dollars, market.yes_bid_e6),
        yes_ask=_if_known(dollars, market.yes_ask_e6),
        last_price=_if_known(dollars, market.last_price_e6),
        volume=_if_known(contracts, market.volume_e2),
        yes_bid_e6=market.yes_bid_e6,
        yes_ask_e6=market.yes_ask_e6,
        last_price_e6=market.last_price_e6,
        volume_e2=market.volume_e2,
        quoted_at=_if_known(moment, market.quoted_us),
        open_time=_if_known(moment, market.open_us),
        close_time=_if_known(moment, market.close_us),
        expiration_time=_if_known(moment, market.expiration_us),
        updated_time=_if_known(moment, market.updated_us),
    )


def _if_known(shown: Callable[[int], Shown], value: int | None) -> Shown | None:
    return None if value is None else shown(value)


ON_DEMAND_SECONDS = 5.0
# Bounded: one request that the exchange fails to answer must not block the others of its kind indefinitely.
RECONCILE_PATIENCE_SECONDS = 600.0
REPAIR_PATIENCE_SECONDS = 60.0


class Gatherer:
    """Record the whole exchange into this host's databases.

    All parts are built here and receive their collaborators.
    """

    def __init__(self, settings: Settings) -> None:
        check(settings)
        timeseries, metadata = databases_of(settings)
        dial = socket_factory(settings)
        self._producers = Group()
        stopping = self._producers.stopping
        self._writers = Group(stopping)
        self._pipeline = WritePipeline(settings, timeseries, metadata)
        sink = self._pipeline.queues
        transport = transport_of(settings, stopping)
        REGISTRY.register(RestBudgetCollector(transport))
        reconciling = RestClient(transport, Priority.RECONCILE, RECONCILE_PATIENCE_SECONDS)
        repairing = RestClient(transport, Priority.REPAIR, REPAIR_PATIENCE_SECONDS)
        polling = RestClient(transport, Priority.POLLING)
        on_demand = RestClient(transport, Priority.REPAIR, ON_DEMAND_SECONDS)
        run_id = now_us()

        heard_until_us = PreviousRun(timeseries, run_id, stopping, threads(1)).trades_heard_until_us
        pending = SettlementsSince(settings.data_dir / "settlements_since", heard_until_us, sink.waiting_since_us)
        unended = UnendedMarkets(metadata, threads(1)).page
        self._registry = MarketRegistry(reconciling, sink, settings, self._producers, pending, unended)
        self._repairer = TradeRepairer(repairing, sink, heard_until_us, stopping)
        self._poller = SnapshotPoller(
            self._registry, polling, on_demand, sink, intervals_of(settings), stopping, part_of(settings)
        )
        self._account = RequestLimits(
            RestClient(transport, Priority.RECONCILE), settings.request_sharers, self._poller, self._producers
        )
        context = self._connection_context(dial, sink)
        # Subscribed before the registry starts, so that the queue receives every market as it becomes known.
        changes = self._registry.subscribe_changes()
        self._connections = ConnectionManager(settings, run_id, context, changes, self._repairer.repair)
        run = Run(run_id, settings.gatherer)
        self._keeper = RunKeeper(run, sink, [self._connections.in_hand_since_us], stopping)
        live = GathererLiveState(self._registry, self._connections, self._poller)
        self._services = service_workers(settings, self._readiness(), stopping, live)

    def _connection_context(self, dial: Callable[[], WebSocket], sink: Sink) -> ConnectionContext:
        stopping = self._producers.stopping
        lifecycle = LifecycleFrames(stopping)
        self._registry.set_lifecycle_source(lifecycle.queue)
        return ConnectionContext(
            dial=dial,
            admission=Admission(stopping, self._registry.exchange_open.is_set),
            sink=sink,
            on_lifecycle=lifecycle.put,
            on_tickers=self._registry.apply_tickers,
            set_halted=lambda halted: COMPONENT_HALTED.labels("connections").set(halted),
            stopping=stopping,
        )

    def _readiness(self) -> list[Readiness]:
        components = (self._poller.component, self._repairer.component, self._account.component)
        parts = (self._pipeline, self._registry, self._connections, *components)
        return [part.why_not_ready for part in parts]

    def run(self) -> None:
        """Run until asked to stop; then store what was received. Raise OperatorError if rows are lost."""
        self._pipeline.start(self._writers)
        self._producers.spawn(self._release)
        for worker in (*self._services, self._keeper, self._account, self._repairer):
            self._producers.spawn(worker.run)
        self._registry.start()
        self._connections.start(self._producers.spawn)
        try:
            self._producers.run_until_stopped()
        finally:
            # The run's last row states that everything is recorded: it must follow the drain. close() drains again, and
            # so stores that row.
            self._pipeline.drain()
            self._keeper.end()
            stuck = self._pipeline.close()
        lost = self._pipeline.queues.waiting_rows()
        if stuck:
            # Threads that wait for the database cannot be joined: only os._exit ends the process.
            log.warning("exiting without waiting for the database", tables=stuck, lost_rows=lost)
            os._exit(1 if lost else 0)
        self._writers.join()
        if lost:
            raise OperatorError(
                "Rows were lost.",
                f"Neither the database nor the disk accepted them: {lost}.",
                "make room on the disk; the table gaps and runs.recorded_until show what is missing.",
            )

    def _release(self) -> None:
        """Once stopping, release the producers that wait to put rows into a full queue, so that they can end."""
        self._producers.stopping.wait()
        self._pipeline.queues.release()


def check(settings: Settings) -> None:
    """Raise SettingsError if a gatherer cannot start with these settings, with all problems in one error."""
    problems = [problem for needs in NEEDS if (problem := _problem(needs, settings)) is not None]
    if len(problems) == 1:
        raise problems[0]
    if problems:
        details = "\n".join(f"{problem.what} {problem.detail}" for problem in problems)
        raise SettingsError("A gatherer cannot start with these settings.", details, " ".join(p.fix for p in problems))


def _problem(needs: Callable[[Settings], object], settings: Settings) -> SettingsError | None:
    try:
        needs(settings)
    except SettingsError as error:
        return error
    return None


def databases_of(settings: Settings) -> tuple[Dsn, Dsn]:
    """Return the DSNs of the time-series and the metadata database. Raise SettingsError if one is not set."""
    if settings.ts_dsn is None or settings.meta_dsn is None:
        given = {"KALSHI_TS_DSN": settings.ts_dsn, "KALSHI_META_DSN": settings.meta_dsn}
        missing = [name for name, dsn in given.items() if dsn is None]
        raise SettingsError(
            "A gatherer needs its two databases.",
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set.",
            "set both; `kalshi-data migrate` brings them up to date.",
        )
    return settings.ts_dsn, settings.meta_dsn


NEEDS: tuple[Callable[[Settings], object], ...] = (databases_of, socket_factory, sockets_of, part_of)
