"""Define the commands for databases: migrate, maintain, postgres, confirmations."""

import signal
from datetime import UTC, datetime, timedelta

import click

from app.cli.options import database_of
from app.errors import OperatorError, SettingsError
from app.settings import Settings


@click.command()
@click.option("--dry-run", is_flag=True, help="Only list what would be applied.")
@click.pass_obj
def migrate(settings: Settings, *, dry_run: bool) -> None:
    """Bring the databases to this version's schema."""
    from app.postgres.connection import connected
    from app.postgres.databases import open_databases
    from app.storage import migrations

    with open_databases(settings) as databases:
        for kind, dsn in databases:
            known = migrations.migrations_of(kind)
            with connected(dsn) as connection:
                if dry_run:
                    waiting = migrations.pending(migrations.applied_migrations(connection), known)
                else:
                    waiting = migrations.migrate(connection, known)
            names = ", ".join(migration.name for migration in waiting) or "nothing"
            click.echo(f"{kind.database}: {'to apply' if dry_run else 'applied'} {names}")


@click.command()
@click.pass_obj
def maintain(settings: Settings) -> None:
    """Run one round of maintenance; `python -m workers maintainer` does it continuously."""
    from app.postgres.connection import connected
    from app.postgres.databases import DatabaseKind, chunk_budgets, open_databases
    from app.storage import retention
    from app.storage.cleanup import drop_ended, forget
    from app.storage.confirmation import CONFIRMATIONS, LAST_RESORTS, why_not_confirmed
    from app.storage.migrations import refuse_another_kind

    with open_databases(settings) as databases:
        budgets = chunk_budgets(settings)
        for kind, dsn in databases:
            if (max_bytes := budgets.get(kind)) is None:
                with connected(dsn) as connection:
                    refuse_another_kind(connection, kind)
                    keep_for = timedelta(days=settings.local_metadata_days)
                    dropped = drop_ended(connection, keep_for, datetime.now(UTC))
                click.echo(f"{kind.database}: " + ", ".join(f"{name} dropped {rows}" for name, rows in dropped.items()))
                continue
            now = datetime.now(UTC)
            with connected(dsn) as connection:
                refuse_another_kind(connection, kind)
                done = retention.maintain(connection, CONFIRMATIONS[kind], max_bytes, now, LAST_RESORTS.get(kind))
                reason = why_not_confirmed(connection, kind) if done and done.unconfirmed else None
                if done and kind is DatabaseKind.TIMESERIES:
                    forget(connection, max_bytes, now)
            figures = ", ".join(f"{name} {value}" for name, value in done._asdict().items()) if done else ""
            click.echo(f"{kind.database}: {figures or 'another process holds the lock'}")
            if reason:
                click.echo(f"{kind.database}: expired chunks kept, {reason}")


LOOK_SECONDS = 1.0


def _refuse_unknown_server(settings: Settings, demo: str) -> None:
    """Raise SettingsError for an unknown name: the embedded server would create a new folder for a mistyped one."""
    from app.demo.processes import server_folder

    if server_folder(settings.data_dir, demo).exists():
        return
    folder = server_folder(settings.data_dir, demo).parent
    known = sorted(each.parent.name for each in folder.glob("*/data"))
    told = f"Those in {folder}: {', '.join(known)}." if known else f"There is none in {folder}."
    fix = "name one of them." if known else "run kalshi-data demo first, with the same KALSHI_DATA_DIR."
    raise SettingsError(f"The demo has no server {demo}.", told, fix)


@click.command()
@click.option("--demo", metavar="NAME", help="A server of the demo: production, or a gatherer's name, such as one.")
@click.pass_obj
def postgres(settings: Settings, *, demo: str | None) -> None:
    """Run the embedded server, print how to reach it, and stop it at Ctrl-C."""
    from app.demo.processes import kinds_of, server_folder
    from app.errors import ServerError
    from app.postgres.databases import DatabaseKind
    from app.postgres.embedded.server import EmbeddedServer

    if demo:
        _refuse_unknown_server(settings, demo)
    folder = server_folder(settings.data_dir, demo) if demo else settings.data_dir / "postgres"
    signals = {signal.SIGINT, signal.SIGTERM}
    with EmbeddedServer(folder, settings.postgres_bin) as server:
        # Blocked signals stay pending until sigtimedwait() takes them, between looks at the server.
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        for kind in kinds_of(demo) if demo else DatabaseKind:
            click.echo(f"{server.psql} '{server.ensure_database(kind.database).reveal()}'")
        while signal.sigtimedwait(signals, LOOK_SECONDS) is None:
            if server.has_ended():
                raise ServerError("The embedded database server ended by itself.", fix=f"see {server.log_file}.")


UNNAMED = "unnamed"


@click.command()
@click.option("--forget", "forgotten", metavar="PRODUCTION", help="Stop keeping rows for this production.")
@click.pass_obj
def confirmations(settings: Settings, forgotten: str | None) -> None:
    """List the productions that read this gatherer (KALSHI_TS_DSN). It drops only rows that all of them confirmed."""
    from app.postgres.connection import connected
    from app.postgres.databases import DatabaseKind
    from app.storage.confirmation import confirming_productions, forget_production

    with database_of(settings, DatabaseKind.TIMESERIES) as dsn, connected(dsn) as connection:
        if forgotten is not None:
            name = "" if forgotten == UNNAMED else forgotten
            if not forget_production(connection, name):
                fix = "use a name that kalshi-data confirmations lists."
                raise OperatorError(f"No production {forgotten} reads this gatherer.", fix=fix)
            click.echo(f"{forgotten} is forgotten: rows that it has not confirmed may be dropped")
        for known in confirming_productions(connection):
            moment = f"{known.confirmed_at:%Y-%m-%dT%H:%M:%SZ}"
            click.echo(f"{known.production or UNNAMED}: {known.tables} tables, last confirmation at {moment}")
