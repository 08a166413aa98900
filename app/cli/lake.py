import click

from app.cli.archive import moment
from app.cli.moment import MomentType, refuse_reversed
from app.errors import OperatorError, SettingsError
from app.settings import Settings


@click.group()
def lake() -> None:
    """The lake as a whole: making it anew from what was received, and the bucket's rules."""


@lake.command()
@click.option("--engine", type=click.Choice(["duckdb", "spark"]), default="duckdb", show_default=True)
@click.option("--from", "start_us", required=True, type=MomentType(), help="Such as 2026-11-21T00:00:00Z.")
@click.option("--to", "end_us", required=True, type=MomentType(), help="Such as 2026-11-22T00:00:00Z.")
@click.option("--into", required=True, help="Another lake: a folder, or s3://bucket/prefix.")
@click.pass_obj
def rebuild(settings: Settings, engine: str, start_us: int, end_us: int, into: str) -> None:
    """Merge raw/ into processed/ and aggregates/ of another lake, by SQL that shares nothing with the deduplicator."""
    refuse_reversed(start_us, end_us)
    from app.lake.engines import engine_of
    from app.lake.rebuild import rebuild as run
    from app.lake.storage import storage_at, storage_of

    source = storage_of(settings)
    with engine_of(engine) as opened:
        done = run(opened, source, storage_at(into, settings), moment(start_us), moment(end_us))
    for name, rows in done.items():
        click.echo(f"{name}: {rows} rows")
    if not any(done.values()):
        raise OperatorError(
            "Nothing was rebuilt.",
            f"The lake at {source.location} has no rows of that time in raw/.",
            "check KALSHI_LAKE, --from and --to.",
        )


@lake.command()
@click.pass_obj
def bind(settings: Settings) -> None:
    """Have production drop what the lake that KALSHI_LAKE names has verified, and only that."""
    from app.databases import Kind, open_database
    from app.lake import identity
    from app.lake.storage import storage_of
    from app.postgres.connection import connected

    if settings.lake is None:
        raise SettingsError("There is no lake to bind production to.", "KALSHI_LAKE is not set.", "set it.")
    storage = storage_of(settings)
    lake_id = identity.identity_of(storage).lake_id
    with open_database(settings, Kind.PRODUCTION) as dsn, connected(dsn) as production:
        before = identity.bound_lake(production)
        identity.register(production, storage, lake_id)
        identity.bind(production, lake_id)
    click.echo(
        f"production drops what {storage.location} has verified; before, of {before.location if before else '-'}"
    )


@lake.command()
@click.pass_obj
def status(settings: Settings) -> None:
    """List the lakes that production knows, the one that it is bound to, and hours that could not be exported."""
    from app.databases import Kind, open_database
    from app.lake import identity
    from app.postgres.connection import connected

    with open_database(settings, Kind.PRODUCTION) as dsn, connected(dsn) as production:
        lakes, failing = identity.known_lakes(production), identity.failing_hours(production)
    for known in lakes:
        bound = "bound" if known.is_bound else "not bound"
        click.echo(
            f"{known.location} ({known.lake_id}): {bound}, {known.verified} hours verified, {known.unfinished} not yet"
        )
    if not any(known.is_bound for known in lakes):
        click.echo("production is bound to no lake, and drops nothing: run kalshi-data lake bind")
    for each in failing:
        click.echo(f"{each.table_name} {each.hour:%Y-%m-%dT%H}: failed {each.failures} times: {each.failure}")


@lake.command()
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if the bucket has other rules.")
@click.pass_obj
def lifecycle(settings: Settings, check: bool) -> None:
    """Have the bucket move raw/ to Glacier after 30 days, processed/ to infrequent access after 90."""
    from app.lake.bucket import BucketStorage
    from app.lake.lifecycle import apply_lifecycle, lifecycle_differences
    from app.lake.storage import storage_of

    storage = storage_of(settings)
    if not isinstance(storage, BucketStorage):
        raise SettingsError(
            "A folder has no lifecycle.", "KALSHI_LAKE names no bucket.", "set it to s3://bucket/prefix."
        )
    if not check:
        apply_lifecycle(storage)
    if different := lifecycle_differences(storage):
        raise OperatorError("The bucket has other rules.", ", ".join(different), "run kalshi-data lake lifecycle.")
    click.echo("the bucket moves old objects as it should")
