from collections.abc import Callable

from prometheus_client import REGISTRY

from app.coverage.asked_trades import AskedTrades
from app.coverage.missing_trades import MissingTrades
from app.errors import SettingsError
from app.follow.copies import METADATA_COPIES
from app.follow.follower import Follower
from app.follow.journal import JournalFollower
from app.jobs import BACKFILL
from app.kalshi.rest_client import RestClient
from app.kalshi.rest_transport import transport_of
from app.kalshi.waiting_line import Priority
from app.metrics.rest import RestBudgetCollector
from app.offload import threads
from app.postgres.dsn import Dsn
from app.settings import Settings
from app.stopping import Stopping
from workers.auditor import Auditor
from workers.comparer import Comparer
from workers.coverage_keeper import CoverageKeeper
from workers.gatherer_follower import GathererFollower
from workers.group import Group
from workers.job_worker import JobWorker
from workers.market_fetcher import MarketFetcher
from workers.merging import Merging
from workers.metadata_confirmer import MetadataConfirmer
from workers.production_repairer import ProductionRepairer
from workers.request_share import RequestShare
from workers.showing import showing

# Whoever asked is told that the exchange is away, rather than nothing.
JOB_PATIENCE_SECONDS = 60.0
# One question that the exchange fails to answer keeps the others waiting for no longer.
REPAIR_PATIENCE_SECONDS = 60.0


class Deduplicator:
    """Makes one recording of those of all gatherers, and judges how complete it is."""

    def __init__(self, settings: Settings) -> None:
        gatherers, metadata, production = databases_of(settings)
        self._group = Group()
        stopping = self._group.stopping
        self._merging = Merging(settings, gatherers, production, self._group)
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
        client, offload = RestClient(transport, Priority.REPAIR, REPAIR_PATIENCE_SECONDS), threads(4)
        repairer = ProductionRepairer(production, client, offload, stopping)
        fetcher = MarketFetcher(production, client, offload, stopping, combos=settings.combos)
        keeper = CoverageKeeper(production, offload, stopping, shortest_pause_seconds=float(settings.coverage_seconds))
        readiness = (
            self._merging.why_not_ready,
            self._why_nobody_is_followed,
            repairer.why_not_ready,
            fetcher.why_not_ready,
        )
        jobs = _jobs(production, RestClient(transport, Priority.REPAIR, JOB_PATIENCE_SECONDS), stopping)
        shown = showing(settings, readiness, stopping)
        auditor = Auditor(production, offload, stopping)
        comparer = Comparer(gatherers, production, threads(1), stopping)
        confirmer = MetadataConfirmer(metadata, production, threads(1), stopping)
        share = RequestShare(RestClient(transport, Priority.REPAIR), settings.request_sharers, stopping)
        self._workers = [*shown, *self._followers, keeper, auditor, comparer, repairer, fetcher, jobs, confirmer, share]

    def run(self) -> None:
        """Until it is asked to stop."""
        self._merging.start()
        for worker in self._workers:
            self._group.spawn(worker.run)
        self._group.run_until_stopped()

    def _follower(
        self, gatherer: str, what: str, follow: Callable[[], dict[str, int]], settings: Settings
    ) -> GathererFollower:
        # A thread of its own: one that hangs holds up no other.
        interval_seconds = settings.follow_milliseconds / 1_000
        return GathererFollower(gatherer, what, follow, interval_seconds, threads(1), self._group.stopping)

    def _why_nobody_is_followed(self) -> str | None:
        """A gatherer that is away is what the others are there for."""
        reasons = [follower.why_not_ready() for follower in self._followers]
        return reasons[0] if all(reasons) else None


def _jobs(production: Dsn, client: RestClient, stopping: Stopping) -> JobWorker:
    offload = threads(1)
    asked = AskedTrades(MissingTrades(production, client, offload))
    return JobWorker(production, {BACKFILL: asked.backfill}, offload, stopping)


def databases_of(settings: Settings) -> tuple[dict[str, Dsn], dict[str, Dsn], Dsn]:
    if settings.gatherer_dsns is None or settings.production_dsn is None:
        raise SettingsError(
            "The deduplicator does not know its databases.",
            "KALSHI_GATHERER_DSNS and KALSHI_PRODUCTION_DSN are both needed.",
            "set them, or the files that hold them.",
        )
    gatherers = settings.gatherer_dsns.by_gatherer()
    metadata = settings.gatherer_meta_dsns.by_gatherer() if settings.gatherer_meta_dsns else {}
    if strangers := metadata.keys() - gatherers.keys():
        raise SettingsError(
            "The deduplicator knows only the metadata of some gatherers.",
            f"KALSHI_GATHERER_META_DSNS names {', '.join(sorted(strangers))}, and KALSHI_GATHERER_DSNS does not.",
            "give the same names in both.",
        )
    return gatherers, metadata, settings.production_dsn
