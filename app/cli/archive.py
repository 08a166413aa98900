"""What the commands about the lake have in common."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import click

from app.cli.moment import EPOCH, MomentType
from app.errors import SettingsError
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
    from app.databases import Kind, open_databases
    from app.lake.archive import Archive
    from app.lake.storage import storage_of

    with open_databases(settings) as databases:
        dsns = dict(databases)
        production, timeseries = dsns.get(Kind.PRODUCTION), dsns.get(Kind.TIMESERIES)
        if production is None or (raw and timeseries is None):
            needed = "KALSHI_PRODUCTION_DSN and KALSHI_TS_DSN are" if raw else "KALSHI_PRODUCTION_DSN is"
            fix = "set it, or …_FILE to the file that holds the connection string."
            raise SettingsError("There is no database to export.", f"{needed} not set.", fix)
        gatherer = (settings.gatherer, timeseries) if raw and timeseries else None
        yield Archive(production, storage_of(settings), gatherer, binds=False)


def chosen(archive: "Archive", tables: tuple[str, ...]) -> list["Dataset"]:
    return [dataset for name, dataset in archive.datasets().items() if not tables or name in tables]


def moment(time_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=time_us)
