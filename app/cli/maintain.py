from datetime import UTC, datetime, timedelta

import click

from app.settings import Settings


@click.command()
@click.pass_obj
def maintain(settings: Settings) -> None:
    """One round of looking after the given databases; `python -m workers maintainer` does it for ever."""
    from app.databases import Kind, chunk_budgets, open_databases
    from app.postgres.connection import connected
    from app.store import maintenance
    from app.store.confirmation import CONFIRMATIONS, LAST_RESORTS, why_not_confirmed
    from app.store.ended_metadata import drop_ended
    from app.store.forgetting import forget

    with open_databases(settings) as databases:
        budgets = chunk_budgets(settings)
        for kind, dsn in databases:
            if (max_bytes := budgets.get(kind)) is None:
                with connected(dsn) as connection:
                    keep_for = timedelta(days=settings.local_metadata_days)
                    dropped = drop_ended(connection, keep_for, datetime.now(UTC))
                click.echo(f"{kind.database}: " + ", ".join(f"{name} dropped {rows}" for name, rows in dropped.items()))
                continue
            now = datetime.now(UTC)
            with connected(dsn) as connection:
                done = maintenance.maintain(connection, CONFIRMATIONS[kind], max_bytes, now, LAST_RESORTS.get(kind))
                reason = why_not_confirmed(connection, kind) if done and done.unconfirmed else None
                if done and kind is Kind.TIMESERIES:
                    forget(connection, max_bytes, now)
            figures = ", ".join(f"{name} {value}" for name, value in done._asdict().items()) if done else ""
            click.echo(f"{kind.database}: {figures or 'another process is at it'}")
            if reason:
                click.echo(f"{kind.database}: chunks stay, {reason}")
