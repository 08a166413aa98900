import click

from app.cli.archive import moment
from app.cli.moment import MomentType
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
    from app.lake.engines import engine_of
    from app.lake.rebuild import rebuild as run
    from app.lake.storage import storage_at, storage_of

    with engine_of(engine) as opened:
        done = run(opened, storage_of(settings), storage_at(into, settings), moment(start_us), moment(end_us))
    for name, rows in done.items():
        click.echo(f"{name}: {rows} rows")


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
