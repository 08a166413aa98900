import click

from app.cli.archive import moment
from app.cli.moment import MomentType, refuse_reversed
from app.errors import OperatorError, SettingsError
from app.settings import Settings


@click.group()
def lake() -> None:
    """The lake as a whole: who waits for it, making it anew from what was received, and the bucket's rules."""


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
@click.option("--from", "start_us", required=True, type=MomentType(), help="As it will be given to rebuild.")
@click.option("--to", "end_us", required=True, type=MomentType(), help="As it will be given to rebuild.")
@click.option("--days", default=7, show_default=True, type=click.IntRange(1, 365), help="How long copies can be read.")
@click.option(
    "--tier",
    type=click.Choice(["Bulk", "Standard", "Expedited"]),
    default="Standard",
    show_default=True,
    help="How S3 does it: Standard takes three to five hours, Bulk up to twelve and costs least.",
)
@click.option("--check", is_flag=True, help="Ask for nothing; exit 1 unless all of it can be read now.")
@click.pass_obj
def restore(settings: Settings, start_us: int, end_us: int, days: int, tier: str, check: bool) -> None:
    """Have S3 take out of Glacier what a rebuild of these hours reads, and tell how far it is. Repeat it to see."""
    refuse_reversed(start_us, end_us)
    from app.lake import glacier
    from app.lake.storage import storage_of

    storage = glacier.bucket_of(storage_of(settings))
    objects = list(glacier.needed_objects(storage, moment(start_us), moment(end_us)))
    if not objects:
        raise OperatorError(
            "There is nothing to restore.",
            f"The lake at {storage.location} has no rows of that time in raw/.",
            "check KALSHI_LAKE, --from and --to.",
        )
    for state in glacier.State:
        of_state = [each for each in objects if each.state is state]
        size_bytes = sum(each.size_bytes for each in of_state)
        click.echo(f"{len(of_state)} objects, {size_bytes / 1e6:.1f} MB: {state.value}")
    if check and any(each.state is not glacier.State.READABLE for each in objects):
        raise OperatorError("Not all of it can be read yet.", fix="wait, or run it without --check if nobody asked.")
    if not check and (asked := glacier.restore(storage, objects, days, tier)):
        click.echo(f"asked S3 for {asked} of them, for {days} days")


@lake.command()
@click.option("--raw", is_flag=True, help="A gatherer's database, of KALSHI_TS_DSN, instead of production.")
@click.pass_obj
def bind(settings: Settings, raw: bool) -> None:
    """Have a database wait for the lake that KALSHI_LAKE names, and drop what that one has verified."""
    from app.databases import Kind, open_database
    from app.lake import identity
    from app.lake.storage import storage_of
    from app.postgres.connection import connected

    if settings.lake is None:
        raise SettingsError("There is no lake to bind a database to.", "KALSHI_LAKE is not set.", "set it.")
    storage = storage_of(settings)
    lake_id = identity.identity_of(storage).lake_id
    kind = Kind.TIMESERIES if raw else Kind.PRODUCTION
    with open_database(settings, kind) as dsn, connected(dsn) as connection:
        before = identity.bound_lake(connection)
        identity.register(connection, storage, lake_id)
        identity.bind(connection, lake_id)
    click.echo(
        f"{kind.database} drops what {storage.location} has verified; before, of {before.location if before else '-'}"
    )


@lake.command()
@click.pass_obj
def unbind(settings: Settings) -> None:
    """Have a gatherer's database (KALSHI_TS_DSN) wait for no lake any more. Stop its archiver first, which binds it."""
    from app.databases import Kind, open_database
    from app.lake import identity
    from app.postgres.connection import connected

    with open_database(settings, Kind.TIMESERIES) as dsn, connected(dsn) as connection:
        if not identity.unbind(connection):
            raise OperatorError("The gatherer's database is bound to no lake.", fix="nothing is left to do.")
    click.echo("the gatherer's database waits for no lake")


@lake.command()
@click.option("--raw", is_flag=True, help="A gatherer's database, of KALSHI_TS_DSN, instead of production.")
@click.pass_obj
def status(settings: Settings, raw: bool) -> None:
    """List the lakes that a database knows, the one that it is bound to, and hours that could not be exported."""
    from app.databases import Kind, open_database
    from app.lake import identity
    from app.postgres.connection import connected
    from app.store.confirmation import archive_losses

    kind = Kind.TIMESERIES if raw else Kind.PRODUCTION
    with open_database(settings, kind) as dsn, connected(dsn) as connection:
        lakes, failing = identity.known_lakes(connection), identity.failing_hours(connection)
        losses = archive_losses(connection) if raw else []
    for known in lakes:
        bound = "bound" if known.is_bound else "not bound"
        named = known.lake_id if known.is_reached else "not reached yet"
        click.echo(f"{known.location} ({named}): {bound}, {known.verified} hours verified, {known.unfinished} not yet")
    if not any(known.is_bound for known in lakes):
        click.echo(
            "the gatherer's database is bound to no lake, and waits for none"
            if raw
            else "production is bound to no lake, and drops nothing: run kalshi-data lake bind"
        )
    for each in failing:
        click.echo(f"{each.table_name} {each.hour:%Y-%m-%dT%H}: failed {each.failures} times: {each.failure}")
    for loss in losses:
        click.echo(f"{loss.table_name} from {loss.started_at:%Y-%m-%dT%H} to {loss.ended_at:%Y-%m-%dT%H}: not in raw/")


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
