"""Define the command `report`: the quality of the record of a month, a day or another time."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import click

from app.cli.options import database_of, refuse_reversed
from app.errors import OperatorError
from app.settings import Settings
from kalshi_data.layout import DAY
from kalshi_data.times import EARLIEST, LATEST

Parsed = Callable[[click.Context, click.Parameter, str | None], datetime | None]


def time_option(pattern: str, example: str) -> Parsed:
    """Return the callback that parses a month or a day in UTC."""

    def parsed(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
        if value is None:
            return None
        try:
            found = datetime.strptime(value, pattern).replace(tzinfo=UTC)
        except ValueError:
            raise click.BadParameter(f"{value!r} is not written like {example}.") from None
        if not EARLIEST <= found < LATEST:
            raise click.BadParameter(f"{value!r} is not between {EARLIEST.year} and {LATEST.year}.")
        return found

    return parsed


a_month, a_day = time_option("%Y-%m", "2026-11"), time_option("%Y-%m-%d", "2026-11-21")


@click.command()
@click.option("--month", callback=a_month, metavar="YYYY-MM", help="Default: the month that goes on.")
@click.option("--day", callback=a_day, metavar="YYYY-MM-DD", help="One day, instead of a month.")
@click.option("--from", "first", callback=a_day, metavar="YYYY-MM-DD", help="The first of several days.")
@click.option("--to", "last", callback=a_day, metavar="YYYY-MM-DD", help="The last of several days.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: all figures, in seconds.")
@click.option("--html", "as_page", is_flag=True, help="Print a page of HTML that needs no other file.")
@click.pass_obj
def report(
    settings: Settings,
    *,
    month: datetime | None,
    day: datetime | None,
    first: datetime | None,
    last: datetime | None,
    as_json: bool,
    as_page: bool,
) -> None:
    """Say how complete the record is, what proves it, and what each gatherer contributed. From production.

    Nothing is claimed of time that is not judged. All days are in UTC.
    """
    import msgspec

    from app.postgres.connection import connected
    from app.postgres.databases import DatabaseKind
    from app.report import words
    from app.report.days import report_of
    from app.status.readings import asked_over

    if as_json and as_page:
        raise click.UsageError("Give --json or --html, not both.")
    since, until = _asked_period(month, day, first, last)
    with database_of(settings, DatabaseKind.PRODUCTION) as dsn, connected(dsn, "report") as connection:
        # One snapshot of the database for all queries.
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        made = report_of(asked_over(connection), since, until)
    if made is None:
        raise OperatorError("Nothing was recorded in that time.", fix="check --month, --day, --from and --to.")
    if as_json:
        click.echo(msgspec.json.encode(made))
    else:
        click.echo(words.as_html(made, datetime.now(UTC)) if as_page else words.as_text(made))


def _asked_period(
    month: datetime | None, day: datetime | None, first: datetime | None, last: datetime | None
) -> tuple[datetime, datetime]:
    """Return the beginning of the first day and the end of the last one."""
    if sum(each is not None for each in (month, day, first or last)) > 1:
        raise click.UsageError("Give --month, --day, or --from and --to.")
    if first or last:
        if first is None or last is None:
            raise click.UsageError("Give both --from and --to.")
        refuse_reversed(first, last + DAY)
        return first, last + DAY
    if day:
        return day, day + DAY
    begins = month or datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return begins, (begins + timedelta(days=31)).replace(day=1)
