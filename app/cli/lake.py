"""Define the commands `book` and `export-to`, and the group `lake`: bind, rebuild, restore, status, lifecycle rules."""

import json
import os
import re
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from app.cli.options import MomentType, TickerType, database_of, refuse_reversed
from app.errors import OperatorError, SettingsError
from app.settings import Settings
from kalshi_data.times import EPOCH

if TYPE_CHECKING:
    from app.lake.check import LakeFinding
    from app.lake.storage import Storage
    from kalshi_data.books import Book
    from kalshi_data.order_book import Knowledge
    from kalshi_data.times import Interval


MOST_TOLD = 20
IN_A_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]*(/.*)?")


class LakeType(click.ParamType[str]):
    """Parameter type for a lake's place. A mistyped s3:// would otherwise become a folder of that name."""

    name = "lake"

    def convert(self, value: object, parameter: click.Parameter | None, context: click.Context | None) -> str:
        place = str(value)
        if not place or (":" in place.split("/", maxsplit=1)[0] and not IN_A_BUCKET.fullmatch(place)):
            self.fail(f"{place!r} is neither a folder nor s3://bucket/prefix.", parameter, context)
        return place


def moment(time_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=time_us)


@click.group()
def lake() -> None:
    """Manage the lake: bind databases to it, rebuild it from raw/, set the bucket's lifecycle rules."""


@lake.command()
@click.option("--engine", type=click.Choice(["duckdb", "spark"]), default="duckdb", show_default=True)
@click.option("--from", "start_us", required=True, type=MomentType(), help="Such as 2026-11-21T00:00:00Z.")
@click.option("--to", "end_us", required=True, type=MomentType(), help="Such as 2026-11-22T00:00:00Z.")
@click.option("--into", required=True, type=LakeType(), help="Another lake: a folder, or s3://bucket/prefix.")
@click.pass_obj
def rebuild(settings: Settings, engine: str, start_us: int, end_us: int, into: str) -> None:
    """Merge raw/ into processed/ and aggregates/ of another lake, by SQL that shares nothing with the deduplicator."""
    refuse_reversed(start_us, end_us)
    from app.lake.storage import storage_at, storage_of

    source, target = storage_of(settings), storage_at(into, settings)
    if os.path.normpath(source.location) == os.path.normpath(target.location):
        raise click.BadParameter("it is the lake of KALSHI_LAKE itself", param_hint="--into")
    done = _rebuilt(settings, engine, source, target, (moment(start_us), moment(end_us)))
    for name, rows in done.items():
        click.echo(f"{name}: {rows} rows")
    if not any(done.values()):
        raise OperatorError(
            "Nothing was rebuilt.",
            f"The lake at {source.location} has no rows of that time in raw/.",
            "check KALSHI_LAKE, --from and --to.",
        )


@lake.command()
@click.option("--engine", type=click.Choice(["duckdb", "spark"]), default="duckdb", show_default=True)
@click.option("--from", "start_us", required=True, type=MomentType(), help="Such as 2026-11-21T00:00:00Z.")
@click.option("--to", "end_us", required=True, type=MomentType(), help="Such as 2026-11-22T00:00:00Z.")
@click.pass_obj
def check(settings: Settings, engine: str, start_us: int, end_us: int) -> None:
    """Check the lake without a database: every object against its manifest, and every order book against the one
    before it. Exit 1 if anything is wrong."""
    refuse_reversed(start_us, end_us)
    from app.lake.storage import storage_of

    storage = storage_of(settings)
    found = _checked(settings, engine, storage, (moment(start_us), moment(end_us)))
    click.echo(f"{found.objects} objects with {found.rows} rows")
    click.echo(f"books that follow from the one before: {found.books['equal']}")
    for verdict in ("different", "in a hole", "incomparable"):
        click.echo(f"{verdict}: {found.books[verdict]}")
    if not found.objects:
        raise OperatorError(
            "Nothing was checked.",
            f"The lake at {storage.location} has no rows of that time.",
            "check --from and --to.",
        )
    if found.wrong:
        raise OperatorError(
            f"The lake at {storage.location} is not as it should be.",
            "\n".join(found.wrong[:MOST_TOLD]),
            "write the hours again: kalshi-data export, or kalshi-data lake rebuild.",
        )


def _checked(settings: Settings, engine: str, storage: "Storage", period: "Interval") -> "LakeFinding":
    if engine == "spark":
        from app.lake.spark import Place, spark_session
        from app.lake.spark_check import check_on_spark

        with spark_session() as session:
            return check_on_spark(session, Place.of(storage, settings), *period)
    from app.lake.check import check as run

    return run(storage, *period)


def _rebuilt(settings: Settings, engine: str, source: "Storage", into: "Storage", period: "Interval") -> dict[str, int]:
    if engine == "spark":
        from app.lake.spark import Place, spark_session
        from app.lake.spark_rebuild import rebuild_on_spark

        with spark_session() as session:
            return rebuild_on_spark(session, Place.of(source, settings), Place.of(into, settings), *period)
    from app.lake.engines import duckdb_engine
    from app.lake.rebuild import rebuild as run

    with duckdb_engine() as opened:
        return run(opened, source, into, *period)


@lake.command()
@click.option("--from", "start_us", required=True, type=MomentType(), help="The same as for rebuild.")
@click.option("--to", "end_us", required=True, type=MomentType(), help="The same as for rebuild.")
@click.option(
    "--days",
    default=7,
    show_default=True,
    type=click.IntRange(1, 365),
    help="How many days the restored copies can be read.",
)
@click.option(
    "--tier",
    type=click.Choice(["Bulk", "Standard", "Expedited"]),
    default="Standard",
    show_default=True,
    help="Speed of the restore: Standard takes three to five hours, Bulk up to twelve and costs least.",
)
@click.option("--check", is_flag=True, help="Request nothing; exit 1 unless everything can be read now.")
@click.pass_obj
def restore(settings: Settings, start_us: int, end_us: int, days: int, tier: str, check: bool) -> None:
    """Have S3 restore from Glacier what a rebuild of these hours reads. Repeat it to see the progress."""
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
    for state in glacier.GlacierState:
        of_state = [each for each in objects if each.state is state]
        size_bytes = sum(each.size_bytes for each in of_state)
        click.echo(f"{len(of_state)} objects, {size_bytes / 1e6:.1f} MB: {state.value}")
    if check and any(each.state is not glacier.GlacierState.READABLE for each in objects):
        raise OperatorError(
            "Some objects of raw/ cannot be read yet.",
            fix="wait, or run it without --check if no restore was requested.",
        )
    if not check and (asked := glacier.restore(storage, objects, days, tier)):
        click.echo(f"requested the restore of {asked} objects, for {days} days")


@lake.command()
@click.option("--raw", is_flag=True, help="Use the gatherer's database of KALSHI_TS_DSN instead of production.")
@click.pass_obj
def bind(settings: Settings, raw: bool) -> None:
    """Bind a database to the lake of KALSHI_LAKE: it drops only rows that this lake has verified."""
    from app.lake import binding
    from app.lake.storage import storage_of
    from app.postgres.connection import connected
    from app.postgres.databases import DatabaseKind

    if settings.lake is None:
        raise SettingsError("There is no lake to bind a database to.", "KALSHI_LAKE is not set.", "set it.")
    storage = storage_of(settings)
    lake_id = binding.identity_of(storage).lake_id
    kind = DatabaseKind.TIMESERIES if raw else DatabaseKind.PRODUCTION
    with database_of(settings, kind) as dsn, connected(dsn) as connection:
        before = binding.bound_lake(connection)
        binding.register(connection, storage, lake_id)
        binding.bind(connection, lake_id)
    click.echo(f"{kind.database} is bound to {storage.location}; before: {before.location if before else 'no lake'}")


@lake.command()
@click.pass_obj
def unbind(settings: Settings) -> None:
    """Unbind a gatherer's database (KALSHI_TS_DSN) from its lake. Stop its archiver first, or it binds it again."""
    from app.lake import binding
    from app.postgres.connection import connected
    from app.postgres.databases import DatabaseKind

    with database_of(settings, DatabaseKind.TIMESERIES) as dsn, connected(dsn) as connection:
        if not binding.unbind(connection):
            raise OperatorError("The gatherer's database is bound to no lake.", fix="no action is needed.")
    click.echo("the gatherer's database is bound to no lake any more")


@lake.command()
@click.option("--raw", is_flag=True, help="Use the gatherer's database of KALSHI_TS_DSN instead of production.")
@click.pass_obj
def status(settings: Settings, raw: bool) -> None:
    """List the lakes that a database knows, the one that it is bound to, and hours that could not be exported."""
    from app.lake import binding
    from app.postgres.connection import connected
    from app.postgres.databases import DatabaseKind
    from app.storage.confirmation import archive_losses

    kind = DatabaseKind.TIMESERIES if raw else DatabaseKind.PRODUCTION
    with database_of(settings, kind) as dsn, connected(dsn) as connection:
        lakes, failing = binding.known_lakes(connection), binding.failing_hours(connection)
        losses = archive_losses(connection) if raw else []
    for known in lakes:
        bound = "bound" if known.is_bound else "not bound"
        named = known.lake_id if known.is_reached else "not reached yet"
        click.echo(
            f"{known.location} ({named}): {bound}, {known.verified} hours verified, {known.unfinished} unfinished"
        )
    if not any(known.is_bound for known in lakes):
        click.echo(
            "the gatherer's database is bound to no lake: it drops rows that are not archived"
            if raw
            else "production is bound to no lake, and drops nothing: run kalshi-data lake bind"
        )
    for each in failing:
        click.echo(f"{each.table_name} {each.hour:%Y-%m-%dT%H}: failed {each.failures} times: {each.failure}")
    for loss in losses:
        click.echo(f"{loss.table_name} from {loss.started_at:%Y-%m-%dT%H} to {loss.ended_at:%Y-%m-%dT%H}: not in raw/")


@lake.command()
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if the bucket's rules differ.")
@click.pass_obj
def lifecycle(settings: Settings, check: bool) -> None:
    """Set the bucket's lifecycle: raw/ to Glacier after 30 days, processed/ to Infrequent Access after 90."""
    from app.lake.s3_storage import BucketStorage, apply_lifecycle, lifecycle_differences
    from app.lake.storage import storage_of

    storage = storage_of(settings)
    if not isinstance(storage, BucketStorage):
        raise SettingsError(
            "A lake in a folder has no lifecycle rules.",
            "KALSHI_LAKE does not name a bucket.",
            "set it to s3://bucket/prefix.",
        )
    if not check:
        apply_lifecycle(storage)
    if different := lifecycle_differences(storage):
        raise OperatorError(
            "The bucket's lifecycle rules differ.", ", ".join(different), "run kalshi-data lake lifecycle."
        )
    click.echo("the bucket has the lifecycle rules")


@click.command()
@click.argument("ticker", type=TickerType())
@click.option("--at", "at_us", required=True, type=MomentType(), help="Such as 2026-11-21T15:00:00Z.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, in integers: millionths of a dollar, hundredths of a contract."
)
@click.pass_obj
def book(settings: Settings, ticker: str, at_us: int, as_json: bool) -> None:
    """Show a market's order book at a given time, from the lake, and whether it is certain.

    Holes are looked up in production, if KALSHI_PRODUCTION_DSN is set.
    """
    from app.lake.reader import book_at, lake_of
    from app.lake.storage import storage_of

    at = moment(at_us)
    _refuse_missing_lake(settings)
    found = book_at(lake_of(storage_of(settings)), ticker, at, _knowledge(settings, ticker, at))
    click.echo(json.dumps(_facts(found)) if as_json else "\n".join(_lines(found)))


def _refuse_missing_lake(settings: Settings) -> None:
    """Raise SettingsError that names the demo's lake, if only that one exists."""
    default, demo = settings.data_dir / "lake", settings.data_dir / "demo" / "lake"
    if settings.lake is None and not default.exists() and demo.exists():
        raise SettingsError("There is no lake yet.", f"{default} is missing.", f"set KALSHI_LAKE={demo}, the demo's.")


def _knowledge(settings: Settings, ticker: str, at: "datetime") -> "Knowledge | None":
    """Return what production knows of the book at that time, or None if no production database is configured."""
    from app.coverage.queries import knowledge_of_book
    from app.postgres.connection import connected

    if settings.production_dsn is None:
        return None
    with connected(settings.production_dsn, "book") as connection:
        return knowledge_of_book(connection, ticker, at)


def _facts(book: "Book") -> dict[str, object]:
    state, known_until, hole = book.knowledge
    return {
        "ticker": book.ticker,
        "at": book.at.isoformat(),
        "state": state,
        "known_until": known_until and known_until.isoformat(),
        "hole": hole and [bound.isoformat() for bound in hole],
        "based_on": book.based_on.isoformat(),
        "source": book.source,
        "changes": book.changes,
        "yes": book.bids(yes_side=True),
        "no": book.bids(yes_side=False),
    }


def _lines(book: "Book") -> list[str]:
    state, known_until, hole = book.knowledge
    said = f"in a hole from {hole[0].isoformat()} to {hole[1].isoformat()}" if hole else state
    until = f"known until {known_until.isoformat()}" if known_until else "completeness is not known yet"
    base = f"the {book.source} snapshot of {book.based_on.isoformat()} and {book.changes} changes"
    asks = [(1_000_000 - price_e6, size_e2) for price_e6, size_e2 in book.bids(yes_side=False)]
    levels = [*(("ask", *ask) for ask in reversed(asks)), *(("bid", *bid) for bid in book.bids(yes_side=True))]
    return [
        f"{book.ticker} at {book.at.isoformat()}: {said}; {until}; {base}",
        f"{'side':4} {'price':>10} {'contracts':>14}",
        *(f"{name:4} {_decimal(price_e6, 6):>10} {_decimal(size_e2, 2):>14}" for name, price_e6, size_e2 in levels),
    ]


def _decimal(value: int, places: int) -> str:
    whole, fraction = divmod(value, 10**places)
    return f"{whole}.{fraction:0{places}}"


# The library runs it, also where the platform is not installed.
EXPORT_FORMATS = ("csv", "hftbacktest", "nautilus", "tardis-csv")


@click.command("export-to")
@click.argument("format_name", metavar="FORMAT", type=click.Choice(EXPORT_FORMATS))
@click.argument("name", metavar="MARKET|EVENT|SERIES")
@click.option("--from", "start", help="Such as 2026-11-21 or 2026-11-21T15:00Z.")
@click.option("--to", "end", help="The time itself is not included.")
@click.option("--into", required=True, help="A folder. No file in it is replaced.")
@click.option("--lake", "place", help="A folder or s3://bucket/prefix. Default: KALSHI_LAKE, or the last demo's lake.")
def export_to(format_name: str, name: str, start: str | None, end: str | None, into: str, place: str | None) -> None:
    """Write books and trades of markets for NautilusTrader, hftbacktest, Tardis' CSV or plain CSV."""
    from kalshi_data.exports.command import main

    options = {"--from": start, "--to": end, "--into": into, "--lake": place}
    given = [word for option, value in options.items() if value is not None for word in (option, value)]
    sys.exit(main([format_name, name, *given]))
