from datetime import UTC, datetime

import click

from app.settings import Settings


@click.command()
@click.pass_obj
def maintain(settings: Settings) -> None:
    """One round of making, compressing and dropping chunks; `python -m workers maintainer` does it for ever."""
    from app.databases import chunk_budgets, open_databases
    from app.postgres.connection import connected
    from app.store import maintenance
    from app.store.confirmation import CONFIRMATIONS

    with open_databases(settings) as databases:
        dsns = dict(databases)
        for kind, max_bytes in chunk_budgets(settings).items():
            with connected(dsns[kind]) as connection:
                done = maintenance.maintain(connection, CONFIRMATIONS[kind], max_bytes, datetime.now(UTC))
            click.echo(f"{kind.database}: " + ", ".join(f"{name} {value}" for name, value in done._asdict().items()))
