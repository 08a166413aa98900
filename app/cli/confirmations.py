import click

from app.errors import OperatorError
from app.settings import Settings

UNNAMED = "unnamed"


@click.command()
@click.option("--forget", "forgotten", metavar="PRODUCTION", help="Do not keep rows for this one any more.")
@click.pass_obj
def confirmations(settings: Settings, forgotten: str | None) -> None:
    """List the productions that read this gatherer (KALSHI_TS_DSN). It drops only what each of them has confirmed."""
    from app.databases import Kind, open_database
    from app.postgres.connection import connected
    from app.store.confirmation import confirming_productions, forget_production

    with open_database(settings, Kind.TIMESERIES) as dsn, connected(dsn) as connection:
        if forgotten is not None:
            name = "" if forgotten == UNNAMED else forgotten
            if not forget_production(connection, name):
                fix = "take a name that kalshi-data confirmations lists."
                raise OperatorError(f"No production {forgotten} reads this gatherer.", fix=fix)
            click.echo(f"{forgotten} is forgotten: what it has not confirmed may be dropped")
        for known in confirming_productions(connection):
            moment = f"{known.confirmed_at:%Y-%m-%dT%H:%M:%SZ}"
            click.echo(f"{known.production or UNNAMED}: {known.tables} tables, last heard of at {moment}")
