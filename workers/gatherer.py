import os
from collections.abc import Callable

from prometheus_client import REGISTRY

from app import logs
from app.clock import now_us
from app.errors import OperatorError, SettingsError
from app.kalshi.rest_client import RestClient
from app.kalshi.rest_transport import transport_of
from app.kalshi.socket import Socket
from app.kalshi.waiting_line import Priority
from app.metrics.process import COMPONENT_HALTED
from app.metrics.rest import RestBudgetCollector
from app.offload import threads
from app.polling.book_cycles import intervals_of, part_of
from app.postgres.dsn import Dsn
from app.readiness import Readiness
from app.recording import Sink
from app.registry.settlements_since import SettlementsSince
from app.registry.unended import UnendedMarkets
from app.run import Run
from app.settings import Settings
from app.store.previous_run import PreviousRun
from app.subscriptions.dialler import dialler_of, sockets_of
from workers.account import Account
from workers.admission import Admission
from workers.connection import Surroundings
from workers.connection_manager import ConnectionManager
from workers.group import Group
from workers.lifecycle_frames import LifecycleFrames
from workers.live_gatherer import LiveGatherer
from workers.market_registry import MarketRegistry
from workers.recording import Recording
from workers.run_keeper import RunKeeper
from workers.showing import showing
from workers.snapshot_poller import SnapshotPoller
from workers.trade_repairer import TradeRepairer

log = logs.get(__name__)

ON_DEMAND_SECONDS = 5.0
# One question that the exchange fails to answer must not keep the others of its kind waiting for ever.
RECONCILE_PATIENCE_SECONDS = 600.0
REPAIR_PATIENCE_SECONDS = 60.0


class Gatherer:
    """Records the whole exchange into this host's databases. All parts are made here, and know of each other by what
    they are given."""

    def __init__(self, settings: Settings) -> None:
        check(settings)
        timeseries, metadata = databases_of(settings)
        dial = dialler_of(settings)
        self._producers = Group()
        stopping = self._producers.stopping
        self._writers = Group(stopping)
        self._recording = Recording(settings, timeseries, metadata)
        sink = self._recording.recorder
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
        self._account = Account(
            RestClient(transport, Priority.RECONCILE), settings.request_sharers, self._poller, self._producers
        )
        around = self._surroundings(dial, sink)
        changes = self._registry.subscribe_changes()
        self._connections = ConnectionManager(settings, run_id, around, changes, self._repairer.repair)
        run = Run(run_id, settings.gatherer)
        self._keeper = RunKeeper(run, sink, [self._connections.in_hand_since_us], stopping)
        live = LiveGatherer(self._registry, self._connections, self._poller)
        self._shown = showing(settings, self._readiness(), stopping, live)

    def _surroundings(self, dial: Callable[[], Socket], sink: Sink) -> Surroundings:
        stopping = self._producers.stopping
        lifecycle = LifecycleFrames(stopping)
        self._registry.set_lifecycle_source(lifecycle.queue)
        return Surroundings(
            dial=dial,
            admission=Admission(stopping, self._registry.exchange_open.is_set),
            sink=sink,
            on_lifecycle=lifecycle.put,
            on_tickers=self._registry.hear_tickers,
            set_halted=lambda halted: COMPONENT_HALTED.labels("connections").set(halted),
            stopping=stopping,
        )

    def _readiness(self) -> list[Readiness]:
        components = (self._poller.component, self._repairer.component, self._account.component)
        parts = (self._recording, self._registry, self._connections, *components)
        return [part.why_not_ready for part in parts]

    def run(self) -> None:
        """Until it is asked to stop; then what was received is stored first."""
        self._recording.start(self._writers)
        self._producers.spawn(self._release)
        for worker in (*self._shown, self._keeper, self._account, self._repairer):
            self._producers.spawn(worker.run)
        self._registry.start()
        self._connections.start(self._producers.spawn)
        try:
            self._producers.run_until_stopped()
        finally:
            self._recording.drain()
            self._keeper.end()
            stuck = self._recording.close()
        lost = self._recording.recorder.waiting_rows()
        if stuck:
            # No ordinary end of the process would get past their threads.
            log.warning("leaving without the database", tables=stuck, lost_rows=lost)
            os._exit(1 if lost else 0)
        self._writers.join()
        if lost:
            raise OperatorError(
                "Rows are lost.",
                f"Neither the database nor the disk took them: {lost}.",
                "make room on the disk; gaps and the run's recorded_until say what is missing.",
            )

    def _release(self) -> None:
        self._producers.stopping.wait()
        self._recording.recorder.release()


def check(settings: Settings) -> None:
    """Raise where it could not start with these, of all that is wrong at once."""
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
    if settings.ts_dsn is None or settings.meta_dsn is None:
        given = {"KALSHI_TS_DSN": settings.ts_dsn, "KALSHI_META_DSN": settings.meta_dsn}
        missing = [name for name, dsn in given.items() if dsn is None]
        raise SettingsError(
            "A gatherer needs its two databases.",
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set.",
            "set both; `kalshi-data migrate` brings them up to date.",
        )
    return settings.ts_dsn, settings.meta_dsn


NEEDS: tuple[Callable[[Settings], object], ...] = (databases_of, dialler_of, sockets_of, part_of)
