"""Define the commands that write hours to the lake and read them back: export and verify."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import click

from app.cli.lake import moment
from app.cli.options import MomentType, progress, refuse_reversed
from app.errors import OperatorError
from app.settings import Settings
from app.storage.tables import PRODUCTION_TABLES

if TYPE_CHECKING:
    from app.lake.archive import Archive, OpenArchive
    from app.lake.chain import ChainFinding
    from app.lake.layout import Dataset
    from app.lake.verifier import FileFinding

Command = TypeVar("Command", bound=Callable[..., object])

LAST_MOMENT_US = 7_258_118_400_000_000  # 2200: no row is later


def which_hours(command: Command) -> Command:
    """Add --table, --from, --to and --raw to a command."""
    names = [table.name for table in PRODUCTION_TABLES]
    for option in (
        click.option("--raw", is_flag=True, help="Export the rows of the gatherer of KALSHI_TS_DSN as received."),
        click.option("--to", "end_us", default=LAST_MOMENT_US, type=MomentType(), help="Hours before this time."),
        click.option("--from", "start_us", default=0, type=MomentType(), help="Hours from this time on."),
        click.option(
            "--table",
            "tables",
            multiple=True,
            type=click.Choice(names),
            help="Only this table; may be repeated. Default: all.",
        ),
    ):
        command = option(command)
    return command


@contextmanager
def archive_of(settings: Settings, *, raw: bool) -> Iterator["Archive"]:
    """Open production's archive, or with `raw` a gatherer's, without binding its database to the lake."""
    from app.lake.archive import Archive, RawArchive
    from app.lake.storage import storage_of
    from app.postgres.databases import DatabaseKind, open_database

    with open_database(settings, DatabaseKind.TIMESERIES if raw else DatabaseKind.PRODUCTION) as dsn:
        storage = storage_of(settings)
        yield RawArchive(dsn, storage, settings.gatherer, binds=False) if raw else Archive(dsn, storage, binds=False)


def chosen(archive: "Archive", tables: tuple[str, ...]) -> list["Dataset"]:
    """Return the datasets of the named tables, or all if none is named."""
    return [dataset for name, dataset in archive.datasets().items() if not tables or name in tables]


@click.command()
@which_hours
@click.pass_obj
def export(settings: Settings, tables: tuple[str, ...], start_us: int, end_us: int, raw: bool) -> None:
    """Write hours to the lake as Parquet, including unfinished ones. Existing files are written again.

    `python -m workers exporter` does it continuously, for every hour that has ended.
    """
    refuse_reversed(start_us, end_us)
    from app.lake.archive import MOST_TOLD
    from app.lake.storage import StorageError
    from kalshi_data.layout import hour_of

    start, end = hour_of(moment(start_us)), moment(end_us)
    with archive_of(settings, raw=raw) as archive, archive.opened() as opened:
        work = []
        for dataset in chosen(archive, tables):
            opened.survey(dataset)
            work += [(dataset, hour) for hour in opened.ledger.hours(dataset, start, end)]
        written, failed = 0, []
        with progress(work, "Writing hours") as hours:
            for dataset, hour in hours:
                try:
                    written += opened.export(dataset, hour)
                except StorageError as error:
                    failed.append(f"{dataset.name} {hour:%Y-%m-%dT%H}: {error}")
        days = 0 if raw else opened.complete(start, end)
    if not work:
        click.echo("There is nothing to export: the database has no rows of that time.", err=True)
    left = len(work) - written - len(failed)
    click.echo(f"wrote {written} hours and the candles of {days} days; another process exports {left}")
    if failed:
        raise OperatorError(f"{len(failed)} of {len(work)} hours could not be written.", "\n".join(failed[:MOST_TOLD]))


@click.command()
@which_hours
@click.option("--chain", is_flag=True, help="Check the chain of sealed days instead, and every object of these days.")
@click.option("--head", help="With --chain: a head that was noted earlier, which the chain must contain.")
@click.pass_obj
def verify(
    settings: Settings,
    tables: tuple[str, ...],
    start_us: int,
    end_us: int,
    raw: bool,
    chain: bool,
    head: str | None,
) -> None:
    """Read the lake back, and compare it with its manifests and the database. Exit 1 if anything differs.

    With --chain: whether an object of a sealed day was changed, removed or added. Production's knowledge of the chain
    is used if KALSHI_PRODUCTION_DSN is set.
    """
    refuse_reversed(start_us, end_us)
    if chain:
        _verify_chain(settings, (moment(start_us), moment(end_us)), head, is_partial=raw or bool(tables))
    elif head:
        raise click.UsageError("--head needs --chain.")
    else:
        _verify_hours(settings, tables, start_us, end_us, raw=raw)


def _verify_hours(settings: Settings, tables: tuple[str, ...], start_us: int, end_us: int, *, raw: bool) -> None:
    from app.lake.verifier import WRONG, FileVerdict
    from kalshi_data.layout import hour_of

    start, end = hour_of(moment(start_us)), moment(end_us)
    found: Counter[FileVerdict] = Counter()
    rows = 0
    with archive_of(settings, raw=raw) as archive, archive.opened() as opened:
        work = []
        for dataset in chosen(archive, tables):
            opened.survey(dataset)
            work += [(dataset, hour) for hour in opened.ledger.hours(dataset, start, end)]
        with progress(work, "Reading hours") as hours:
            for dataset, hour in hours:
                finding = _finding_of(opened, dataset, hour)
                found[finding.verdict] += 1
                rows += finding.rows
                if finding.verdict in WRONG:
                    click.echo(f"{dataset.name} {hour:%Y-%m-%dT%H}: {finding.difference}", err=True)
    if not work:
        raise OperatorError(
            "There was nothing to verify.",
            "Neither the database nor the lake has hours of that time.",
            "check --from, --to and KALSHI_LAKE; kalshi-data export writes hours.",
        )
    for verdict, count in found.items():
        click.echo(f"{count} hours: {verdict.value}")
    click.echo(f"{rows} rows were read back")
    if any(found[verdict] for verdict in WRONG):
        sys.exit(1)


def _finding_of(archive: "OpenArchive", dataset: "Dataset", hour: datetime) -> "FileFinding":
    """Verify one hour. Glacier and storage errors become findings, so that the other hours are verified too."""
    from app.lake.storage import InGlacierError, StorageError
    from app.lake.verifier import FileFinding, FileVerdict

    try:
        return archive.verify(dataset, hour)
    except InGlacierError as error:
        return FileFinding(FileVerdict.IN_GLACIER, 0, str(error))
    except StorageError as error:
        return FileFinding(FileVerdict.UNREADABLE, 0, str(error))


def _verify_chain(settings: Settings, period: tuple[datetime, datetime], head: str | None, *, is_partial: bool) -> None:
    if is_partial:
        raise click.UsageError("--chain checks all tables of a day, and does not cover raw/.")
    from app.lake.chain import ChainMemory, check_chain
    from app.lake.storage import storage_of

    storage = storage_of(settings)
    memory = ChainMemory(published=head)
    if settings.production_dsn is not None:
        with archive_of(settings, raw=False) as archive, archive.opened() as opened:
            memory = opened.chain.memory(head)
    _report_chain(check_chain(storage, *period, memory), storage.location)


def _report_chain(finding: "ChainFinding", location: str) -> None:
    for sentence in finding.wrong:
        click.echo(sentence, err=True)
    if not finding.chain.heads and not finding.wrong:
        raise OperatorError(
            "There was nothing to verify.",
            f"The lake at {location} has no sealed day.",
            "check KALSHI_LAKE; the exporter seals a day an hour after its end.",
        )
    click.echo(f"{finding.days} sealed days were read back, {len(finding.wrong)} differences")
    if finding.pending:
        click.echo(f"{finding.pending} days were written again since, and will be sealed again")
    if finding.unread:
        click.echo(f"{finding.unread} objects are in Glacier: not read")
    click.echo(f"head of link {len(finding.chain.heads)}: {finding.chain.head}")
    if finding.wrong:
        sys.exit(1)
