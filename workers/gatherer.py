import os
import time

from prometheus_client import REGISTRY

from admin.application import create_ops_app
from app import logs
from app.errors import SettingsError
from app.heartbeats import Heartbeats, WatchedStopping
from app.kalshi.rest_client import RestClient
from app.kalshi.rest_transport import transport_of
from app.kalshi.waiting_line import Priority
from app.metrics.process import COMPONENT_HALTED
from app.metrics.rest import RestBudgetCollector
from app.offload import threads
from app.postgres.dsn import Dsn
from app.run import Run
from app.settings import Settings
from app.store.previous_run import PreviousRun
from app.subscriptions.dialler import dialler_of
from app.systemd import notifier_from
from workers.account import Account
from workers.admission import Admission
from workers.connection import Surroundings
from workers.connection_manager import ConnectionManager
from workers.group import Group
from workers.hub_watch import HubWatch
from workers.life_cycle import LifeCycle
from workers.lifecycle_frames import LifecycleFrames
from workers.live_gatherer import LiveGatherer
from workers.market_registry import MarketRegistry
from workers.ops_server import OpsServer
from workers.recording import Recording
from workers.run_keeper import RunKeeper
from workers.snapshot_poller import SnapshotPoller
from workers.trade_repairer import TradeRepairer
from workers.watchdog import Watchdog

log = logs.get(__name__)


class Gatherer:
    """Records the whole exchange into this host's databases. All parts are made here, and know of each other by what
    they are given."""

    def __init__(self, settings: Settings) -> None:
        timeseries, metadata = databases_of(settings)
        dial = dialler_of(settings)
        self._producers = Group()
        stopping = self._producers.stopping
        self._writers = Group(stopping)
        self._recording = Recording(settings, timeseries, metadata)
        sink = self._recording.recorder
        transport = transport_of(settings, stopping)
        REGISTRY.register(RestBudgetCollector(transport))
        reconciling, repairing, polling = (RestClient(transport, priority) for priority in Priority)

        self._registry = MarketRegistry(reconciling, sink, settings, self._producers)
        run_id = time.time_ns() // 1_000
        previous = PreviousRun(timeseries, run_id, stopping, threads(1))
        self._repairer = TradeRepairer(repairing, sink, previous.recorded_until_us, stopping, set_halted)
        self._poller = SnapshotPoller(
            self._registry, polling, repairing, sink, settings.poll_seconds, stopping, set_halted
        )
        self._account = Account(reconciling, settings.gatherers, self._poller, self._producers)
        lifecycle = LifecycleFrames(stopping)
        self._registry.set_lifecycle_source(lifecycle.queue)
        around = Surroundings(
            dial=dial,
            admission=Admission(stopping),
            sink=sink,
            on_lifecycle=lifecycle.put,
            exchange_is_open=self._registry.exchange_open.is_set,
            set_halted=lambda halted: COMPONENT_HALTED.labels("connections").set(halted),
            stopping=stopping,
        )
        changes = self._registry.subscribe_changes()
        self._connections = ConnectionManager(settings, run_id, around, changes, self._repairer.repair)
        self._keeper = RunKeeper(Run(run_id, settings.gatherer), sink, [self._connections.in_hand_since_us], stopping)
        readiness = (sink.why_not_ready, self._registry.why_not_ready, self._connections.why_not_ready)
        self._heartbeats = Heartbeats()
        live = LiveGatherer(self._registry, self._connections, self._poller)
        self._ops = OpsServer(settings.ops_address, create_ops_app(readiness, self._heartbeats, live), stopping)
        notifier = notifier_from()
        self._life_cycle = LifeCycle(notifier, readiness, self._heartbeats, stopping)
        self._watchdog = Watchdog(notifier, self._heartbeats, stopping)

    def run(self) -> None:
        """Until it is asked to stop; then what was received is stored first."""
        self._recording.start(self._writers)
        stopping = self._producers.stopping
        hub_watch = HubWatch(WatchedStopping(stopping, self._heartbeats.of("hub")))
        for worker in (self._ops, self._life_cycle, self._watchdog, hub_watch, self._keeper, self._account):
            self._producers.spawn(worker.run)
        self._registry.start()
        self._producers.spawn(self._repairer.run)
        self._connections.start(self._producers.spawn)
        try:
            self._producers.run_until_stopped()
        finally:
            self._keeper.end()
            stuck = self._recording.close()
        if stuck:
            # What their threads hold is on disk too; no ordinary end of the process would get past them.
            log.warning("leaving without the database", tables=stuck)
            os._exit(0)
        self._writers.join()


def databases_of(settings: Settings) -> tuple[Dsn, Dsn]:
    if settings.ts_dsn is None or settings.meta_dsn is None:
        raise SettingsError(
            "A gatherer needs its two databases.",
            "KALSHI_TS_DSN or KALSHI_META_DSN is not set.",
            "set both; `kalshi-data migrate` brings them up to date.",
        )
    return settings.ts_dsn, settings.meta_dsn


def set_halted(component: str) -> None:
    COMPONENT_HALTED.labels(component).set(1)
