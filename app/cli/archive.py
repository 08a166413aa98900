"""What the commands about the lake have in common."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import click

from app.cli.moment import EPOCH, MomentType
from app.settings import Settings
from app.store.tables import PRODUCTION_TABLES

if TYPE_CHECKING:
    from app.lake.archive import Archive
    from app.lake.dataset import Dataset

Command = TypeVar("Command", bound=Callable[..., object])

LAST_MOMENT_US = 7_258_118_400_000_000  # 2200: no row is later


def which_hours(command: Command) -> Command:
    """--table, --from, --to and --raw."""
    names = [table.name for table in PRODUCTION_TABLES]
    for option in (
        click.option("--raw", is_flag=True, help="A gatherer's rows as received, of KALSHI_TS_DSN."),
        click.option("--to", "end_us", default=LAST_MOMENT_US, type=MomentType(), help="Hours before this time."),
        click.option("--from", "start_us", default=0, type=MomentType(), help="Hours from this time on."),
        click.option("--table", "tables", multiple=True, type=click.Choice(names), help="One of all; may be repeated."),
    ):
        command = option(command)
    return command


@contextmanager
def archive_of(settings: Settings, *, raw: bool) -> Iterator["Archive"]:
    """Production's, or with `raw` a gatherer's. It binds no database to its lake."""
    from app.databases import Kind, open_database
    from app.lake.archive import Archive
    from app.lake.raw_archive import RawArchive
    from app.lake.storage import storage_of

    with open_database(settings, Kind.TIMESERIES if raw else Kind.PRODUCTION) as dsn:
        storage = storage_of(settings)
        yield RawArchive(dsn, storage, settings.gatherer, binds=False) if raw else Archive(dsn, storage, binds=False)


def chosen(archive: "Archive", tables: tuple[str, ...]) -> list["Dataset"]:
    return [dataset for name, dataset in archive.datasets().items() if not tables or name in tables]


def moment(time_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=time_us)
