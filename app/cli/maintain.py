from datetime import UTC, datetime, timedelta

import click

from app.settings import Settings


@click.command()
@click.pass_obj
def maintain(settings: Settings) -> None:
    """One round of looking after the given databases; `python -m workers maintainer` does it for ever."""
    from app.databases import chunk_budgets, open_databases
    from app.postgres.connection import connected
    from app.store import maintenance
    from app.store.confirmation import CONFIRMATIONS
    from app.store.ended_metadata import drop_ended

    with open_databases(settings) as databases:
        budgets = chunk_budgets(settings)
        for kind, dsn in databases:
            if (max_bytes := budgets.get(kind)) is None:
                with connected(dsn) as connection:
                    keep_for = timedelta(days=settings.local_metadata_days)
                    dropped = drop_ended(connection, keep_for, datetime.now(UTC))
                click.echo(f"{kind.database}: " + ", ".join(f"{name} dropped {rows}" for name, rows in dropped.items()))
                continue
            with connected(dsn) as connection:
                done = maintenance.maintain(connection, CONFIRMATIONS[kind], max_bytes, datetime.now(UTC))
            figures = ", ".join(f"{name} {value}" for name, value in done._asdict().items()) if done else ""
            click.echo(f"{kind.database}: {figures or 'another process is at it'}")
