"""Provide options, parameter types and the progress bar that commands share."""

import json
import logging
import math
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from app.settings import Settings
from app.settings.loading import load_settings, warnings_of
from kalshi_data.times import EARLIEST, EPOCH, LATEST

if TYPE_CHECKING:
    from app.postgres.databases import DatabaseKind
    from app.postgres.dsn import Dsn


def nothing_more(_settings: Settings) -> None:
    """Require nothing beyond settings that can be loaded."""


def check_config(needs: Callable[[Settings], object] = nothing_more) -> Callable[[Any], Any]:
    """Return the option that checks the settings and exits. `needs` raises if something is missing for a process."""

    def check(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
        if wanted:
            settings = load_settings()
            needs(settings)
            for warning in warnings_of(settings):
                click.echo(f"warning: {warning}")
            click.echo("The settings are valid.")
            context.exit()

    return click.option(
        "--check-config",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=check,
        help="Check the settings and exit.",
    )


check_config_option = check_config()


Time = TypeVar("Time", int, datetime)


def refuse_reversed(start: Time, end: Time) -> None:
    """Raise BadParameter unless --to is after --from."""
    if start >= end:
        raise click.BadParameter("it is not after --from", param_hint="--to")


def parsed_moment(text: str) -> datetime:
    """Parse a time in ISO 8601, and return it in UTC. Without a zone it is UTC. Raise BadParameter if it is no time,
    or not plausible: databases and files cannot hold every time that can be written."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time such as 2026-11-21T15:00:00Z.") from None
    given = given if given.tzinfo else given.replace(tzinfo=UTC)
    if not EARLIEST <= given <= LATEST:
        raise click.BadParameter(f"{text!r} is not between {EARLIEST.year} and {LATEST.year}.")
    return given.astimezone(UTC)


class MomentType(click.ParamType[int]):
    """Parameter type for a time in ISO 8601, as microseconds since 1970. Without a zone it is UTC."""

    name = "time"

    def convert(self, value: object, _parameter: click.Parameter | None, _context: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        return (parsed_moment(str(value)) - EPOCH) // timedelta(microseconds=1)


LONGEST_TICKER = 200


class FiniteRange(click.FloatRange):
    """Parameter type for a number in a range. Neither "nan", which is in every range, nor "inf" is one."""

    def convert(self, value: float, parameter: click.Parameter | None, context: click.Context | None) -> float:
        number = super().convert(value, parameter, context)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number.", parameter, context)
        return number


class TickerType(click.ParamType[str]):
    """Parameter type for a market's ticker."""

    name = "ticker"

    def convert(self, value: object, parameter: click.Parameter | None, context: click.Context | None) -> str:
        ticker = str(value)
        if not (0 < len(ticker) <= LONGEST_TICKER and ticker.isprintable()):
            shown = ticker[:LONGEST_TICKER].encode("ascii", "backslashreplace").decode()
            self.fail(f"{shown!r} is not a ticker such as KXRAIN-26NOV21-T1.", parameter, context)
        return ticker


@contextmanager
def database_of(settings: Settings, kind: "DatabaseKind") -> Iterator["Dsn"]:
    """Yield the database of this kind. Raise MigrationError if the one that is set was made for another purpose: its
    tables have the same names, and what is not merged would be taken for production."""
    from app.postgres.connection import connected
    from app.postgres.databases import open_database
    from app.storage.migrations import refuse_another_kind

    with open_database(settings, kind) as dsn:
        with connected(dsn) as connection:
            refuse_another_kind(connection, kind)
        yield dsn


class SectionedGroup(click.Group):
    """A command group that lists its commands under headings."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self._sections: dict[str, list[click.Command]] = {}

    def add(self, command: click.Command, *, section: str) -> None:
        self.add_command(command)
        self._sections.setdefault(section, []).append(command)

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        for section, commands in self._sections.items():
            with formatter.section(section):
                formatter.write_dl([(command.name or "", command.get_short_help_str(100)) for command in commands])


# Progress of long work on a terminal: a bar, with log lines above it.

Item = TypeVar("Item")

CLEAR_LINE = "\r\x1b[K"


@contextmanager
def progress(items: Sequence[Item], label: str) -> Iterator[Iterator[Item]]:
    """Show how many items are taken already. Without a terminal nothing is shown and logs are unchanged."""
    if not sys.stderr.isatty():
        yield iter(items)
        return
    with _logs_above_the_bar(sys.stderr), click.progressbar(items, label=label, file=sys.stderr) as bar:
        yield iter(bar)


@contextmanager
def _logs_above_the_bar(terminal: TextIO) -> Iterator[None]:
    """Show only warnings, above the bar: an informational line for every hour would push the bar off the screen."""
    root = logging.getLogger()
    streams = [handler for handler in root.handlers if isinstance(handler, logging.StreamHandler)]
    before = root.level, [handler.stream for handler in streams]
    root.setLevel(max(root.level, logging.WARNING))
    for handler in streams:
        handler.setStream(_Above(terminal))
    try:
        yield
    finally:
        root.setLevel(before[0])
        for handler, stream in zip(streams, before[1], strict=True):
            handler.setStream(stream)


class _Above:
    """A log stream that clears the bar's line first; the bar is drawn again at its next step."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self.flush = terminal.flush

    def write(self, text: str) -> int:
        return self._terminal.write(f"{CLEAR_LINE}{text}")


def about_lake(folder: Path) -> str:
    """Return where a lake is, and what to type to look at it."""
    place = folder.absolute()
    program = f"import kalshi_data as kd; lake = kd.open({json.dumps(str(place))}); print(lake.trades().to_arrow())"
    return f"The lake: {place}\nNext: {shlex.join([sys.executable, '-ic', program])}"
