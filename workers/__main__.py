# The command line of the long-running processes. As their one entry module it applies gevent's monkey patch, before any
# other import: a module imported earlier would keep the blocking socket, lock or sleep it bound at its import.
from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402
from datetime import timedelta  # noqa: E402

import click  # noqa: E402

from app.cli.options import check_config, check_config_option  # noqa: E402
from app.errors import OperatorError, SettingsError  # noqa: E402
from app.postgres.databases import Database, DatabaseKind, chunk_budgets, given_databases  # noqa: E402
from app.postgres.dsn import Dsn  # noqa: E402
from app.runtime import logs  # noqa: E402
from app.runtime.jobs import EXPORT  # noqa: E402
from app.runtime.threads import Offload, threads  # noqa: E402
from app.settings import Settings  # noqa: E402
from app.settings.loading import load_settings  # noqa: E402
from workers.deduplicator import process as merging  # noqa: E402
from workers.gatherer import process as gathering  # noqa: E402
from workers.maintainer import Maintainer, MetadataMaintainer  # noqa: E402
from workers.process.group import Group  # noqa: E402
from workers.process.job_worker import JobWorker  # noqa: E402
from workers.process.service import ServiceWorker, service_workers  # noqa: E402


@click.group()
@check_config_option
@click.pass_context
def workers(context: click.Context) -> None:
    """Run one process of the platform until it is stopped. Exit codes: 0 stopped, 1 failed, 2 wrong settings."""
    settings = load_settings()
    logs.configure(settings.log_format, settings.log_level)
    context.obj = settings


@workers.command()
@check_config(gathering.check)
@click.pass_obj
def gatherer(settings: Settings) -> None:
    """Record everything that the exchange publishes into the two databases of this host."""
    gathering.Gatherer(settings).run()


def databases_to_maintain(settings: Settings) -> list[Database]:
    """Return the databases given by the settings. Raise SettingsError if there is none."""
    databases = given_databases(settings)
    if not databases:
        raise SettingsError(
            "There is no database to maintain.",
            "Neither KALSHI_TS_DSN nor KALSHI_META_DSN nor KALSHI_PRODUCTION_DSN is set.",
            "set those of the databases on this host.",
        )
    return databases


def maintainer_of(
    settings: Settings, database: Database, offload: Offload, group: Group
) -> Maintainer | MetadataMaintainer:
    """Return the maintainer for one database: ended markets of a gatherer's metadata, or chunks of any other."""
    interval_seconds, stopping = settings.maintenance_seconds, group.stopping
    if database.kind is DatabaseKind.METADATA:
        keep_for = timedelta(days=settings.local_metadata_days)
        return MetadataMaintainer(database.dsn, keep_for, interval_seconds, offload, stopping)
    budget = chunk_budgets(settings)[database.kind]
    return Maintainer(database, budget, interval_seconds, offload, stopping)


@workers.command()
@check_config(databases_to_maintain)
@click.pass_obj
def maintainer(settings: Settings) -> None:
    """Create chunks ahead, compress them, and drop them when old or over the disk budget; delete ended markets from a
    gatherer's metadata."""
    databases = databases_to_maintain(settings)
    group = Group()
    offload = threads(len(databases))
    maintainers = [maintainer_of(settings, database, offload, group) for database in databases]
    readiness = [worker.why_not_ready for worker in maintainers]
    for part in (*maintainers, *service_workers(settings, readiness, group.stopping)):
        group.spawn(part.run)
    group.run_until_stopped()


@workers.command()
@check_config(merging.databases_of)
@click.pass_obj
def deduplicator(settings: Settings) -> None:
    """Merge the recordings of all gatherers into production. Several such processes share the work."""
    merging.Deduplicator(settings).run()


def production_of(settings: Settings) -> Dsn:
    """Return the DSN of production. Raise SettingsError if it is not set."""
    if settings.production_dsn is None:
        fix = "set it, or KALSHI_PRODUCTION_DSN_FILE to the file that holds the connection string."
        raise SettingsError("There is no database to export.", "KALSHI_PRODUCTION_DSN is not set.", fix)
    return settings.production_dsn


@workers.command()
@check_config(production_of)
@click.pass_obj
def exporter(settings: Settings) -> None:
    """Export production's finished hours to the lake, and verify them."""
    # Arrow is heavy, and the other processes need none of it.
    from app.lake.archive import Archive, AskedHours  # noqa: PLC0415
    from app.lake.storage import storage_of  # noqa: PLC0415
    from workers.exporter import Exporter  # noqa: PLC0415

    production = production_of(settings)
    group = Group()
    # Production is bound only to a lake that the settings name, never to the default one below the user's home.
    archive, offload = Archive(production, storage_of(settings), binds=settings.lake is not None), threads(1)
    worker = Exporter(archive, settings.lake_settle_seconds, offload, group.stopping)
    tasks = {EXPORT: AskedHours(archive, offload).export}
    jobs = JobWorker(production, tasks, threads(1), group.stopping)
    parts: list[ServiceWorker] = [worker, jobs, *service_workers(settings, [worker.why_not_ready], group.stopping)]
    for part in parts:
        group.spawn(part.run)
    group.run_until_stopped()


def timeseries_to_archive(settings: Settings) -> Dsn:
    """Return the DSN of the gatherer's database. Raise SettingsError if it or the lake is not set."""
    if settings.ts_dsn is None or settings.lake is None:
        given = {"KALSHI_TS_DSN": settings.ts_dsn, "KALSHI_LAKE": settings.lake}
        missing = [name for name, value in given.items() if value is None]
        raise SettingsError(
            "An archiver needs a gatherer's database and a lake.",
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set.",
            "set both, and KALSHI_GATHERER to the gatherer's name.",
        )
    return settings.ts_dsn


# The archiver is a process of its own: Arrow, DuckDB and S3's client would block the gatherer's hub, and S3's slow
# requests would delay the maintainer's rounds.
@workers.command()
@check_config(timeseries_to_archive)
@click.pass_obj
def archiver(settings: Settings) -> None:
    """Export the finished hours of this host's gatherer, as received, to raw/ of the lake, and verify them."""
    from app.lake.archive import RawArchive  # noqa: PLC0415
    from app.lake.storage import storage_of  # noqa: PLC0415
    from workers.exporter import Exporter  # noqa: PLC0415

    group = Group()
    archive = RawArchive(timeseries_to_archive(settings), storage_of(settings), settings.gatherer)
    worker = Exporter(archive, settings.lake_settle_seconds, threads(1), group.stopping)
    parts: list[ServiceWorker] = [worker, *service_workers(settings, [worker.why_not_ready], group.stopping)]
    for part in parts:
        group.spawn(part.run)
    group.run_until_stopped()


if __name__ == "__main__":
    try:
        workers()
    except OperatorError as error:
        click.echo(error, err=True)
        sys.exit(error.exit_code)
