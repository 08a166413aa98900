"""The deduplicator process: builds its workers from the settings and runs them.

In: DSNs of the gatherers and of production. Out: the process; `databases_of` checks the settings before it starts.
Read `Deduplicator.__init__` for the list of workers.
"""

from collections.abc import Callable

from prometheus_client import REGISTRY

from app.coverage.trade_repair import AskedTrades, MissingTrades
from app.errors import SettingsError
from app.kalshi.request_budget import Priority
from app.kalshi.rest_client import RestClient
from app.kalshi.rest_transport import transport_of
from app.metrics.rest import RestBudgetCollector
from app.postgres.dsn import Dsn
from app.replicate.follower import METADATA_COPIES, Follower
from app.replicate.journal import JournalFollower
from app.runtime.health import Stopping
from app.runtime.jobs import BACKFILL
from app.runtime.threads import threads
from app.settings import Settings
from workers.deduplicator.auditor import Auditor, OverlapSampler, QuoteAuditor
from workers.deduplicator.coverage_keeper import CoverageKeeper
from workers.deduplicator.gatherer_follower import GathererFollower, MetadataConfirmer
from workers.deduplicator.market_fetcher import MarketFetcher
from workers.deduplicator.merger import MergeSupervisor
from workers.deduplicator.trade_repairer import ProductionTradeRepairer
from workers.gatherer.snapshot_poller import RequestShare
from workers.process.group import Group
from workers.process.job_worker import JobWorker
from workers.process.service import service_workers

# Bounded, so that a job reports that the exchange is unreachable, rather than nothing.
JOB_PATIENCE_SECONDS = 60.0
# Bounded, so that one request that the exchange fails to answer does not delay the others longer.
REPAIR_PATIENCE_SECONDS = 60.0


class Deduplicator:
    """Merge the recordings of all gatherers into one, and judge how complete it is."""

    def __init__(self, settings: Settings) -> None:
        gatherers, metadata, production = databases_of(settings)
        self._group = Group()
        stopping = self._group.stopping
        self._merging = MergeSupervisor(settings, gatherers, production, self._group)
        self._followers = [
            self._follower(name, "journal", JournalFollower(name, dsn, production).round, settings)
            for name, dsn in gatherers.items()
        ]
        self._followers += [
            self._follower(name, "metadata", Follower(name, dsn, production, METADATA_COPIES).round, settings)
            for name, dsn in metadata.items()
        ]
        transport = transport_of(settings, stopping)
        REGISTRY.register(RestBudgetCollector(transport))
        # Five threads, one for each worker that shares them: repairer, fetcher, coverage keeper and both auditors.
        client, offload = RestClient(transport, Priority.REPAIR, REPAIR_PATIENCE_SECONDS), threads(5)
        repairer = ProductionTradeRepairer(production, client, offload, stopping)
        fetcher = MarketFetcher(production, client, offload, stopping, combos=settings.combos)
        keeper = CoverageKeeper(production, offload, stopping, shortest_pause_seconds=float(settings.coverage_seconds))
        readiness = (
            self._merging.why_not_ready,
            self._why_no_gatherer_is_followed,
            repairer.why_not_ready,
            fetcher.why_not_ready,
        )
        jobs = _jobs(production, RestClient(transport, Priority.REPAIR, JOB_PATIENCE_SECONDS), stopping)
        shown = service_workers(settings, readiness, stopping)
        auditor = Auditor(production, offload, stopping)
        quote_auditor = QuoteAuditor(production, offload, stopping)
        comparer = OverlapSampler(gatherers, production, threads(1), stopping)
        confirmer = MetadataConfirmer(metadata, production, threads(1), stopping)
        share = RequestShare(RestClient(transport, Priority.REPAIR), settings.request_sharers, stopping)
        self._workers = [*shown, *self._followers, keeper, auditor, quote_auditor, comparer, repairer, fetcher, jobs]
        self._workers += [confirmer, share]

    def run(self) -> None:
        """Run until asked to stop."""
        self._merging.start()
        for worker in self._workers:
            self._group.spawn(worker.run)
        self._group.run_until_stopped()

    def _follower(
        self, gatherer: str, what: str, follow: Callable[[], dict[str, int]], settings: Settings
    ) -> GathererFollower:
        # A thread per follower: one that hangs delays no other.
        interval_seconds = settings.follow_milliseconds / 1_000
        return GathererFollower(gatherer, what, follow, interval_seconds, threads(1), self._group.stopping)

    def _why_no_gatherer_is_followed(self) -> str | None:
        """Return a reason only if *every* follower fails: one unreachable gatherer is expected."""
        reasons = [follower.why_not_ready() for follower in self._followers]
        return reasons[0] if all(reasons) else None


def _jobs(production: Dsn, client: RestClient, stopping: Stopping) -> JobWorker:
    offload = threads(1)
    asked = AskedTrades(MissingTrades(production, client, offload))
    return JobWorker(production, {BACKFILL: asked.backfill}, offload, stopping)


def databases_of(settings: Settings) -> tuple[dict[str, Dsn], dict[str, Dsn], Dsn]:
    """Return the gatherers' time-series and metadata DSNs by name, and production's.

    Raise SettingsError if one is missing.
    """
    if settings.gatherer_dsns is None or settings.production_dsn is None:
        raise SettingsError(
            "The deduplicator needs databases.",
            "KALSHI_GATHERER_DSNS and KALSHI_PRODUCTION_DSN are both needed.",
            "set them, or their _FILE variants.",
        )
    gatherers = settings.gatherer_dsns.by_gatherer()
    metadata = settings.gatherer_meta_dsns.by_gatherer() if settings.gatherer_meta_dsns else {}
    if strangers := metadata.keys() - gatherers.keys():
        raise SettingsError(
            "Gatherers are named for metadata only.",
            f"{', '.join(sorted(strangers))}: in KALSHI_GATHERER_META_DSNS, not in KALSHI_GATHERER_DSNS.",
            "use the same names in both.",
        )
    return gatherers, metadata, settings.production_dsn
