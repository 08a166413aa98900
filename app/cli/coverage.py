from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from app.cli.moment import refuse_reversed
from app.settings import Settings

if TYPE_CHECKING:
    from app.coverage.answers import ExchangeHour, MarketHour

HOUR_FORMAT = "%Y-%m-%d %H:%M"


def moment(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        given = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no time such as 2026-11-21T15:00:00Z") from None
    return given if given.tzinfo else given.replace(tzinfo=UTC)


@click.command()
@click.argument("ticker", required=False)
@click.option(
    "--from", "start", callback=moment, metavar="TIME", help="Default: 24 hours before --to. UTC without zone."
)
@click.option("--to", "end", callback=moment, metavar="TIME", help="Default: now.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def coverage(
    settings: Settings, ticker: str | None, start: datetime | None, end: datetime | None, as_json: bool
) -> None:
    """Show how complete the record of a market is, or of the exchange. Hour by hour, with the holes of each."""
    import msgspec

    from app.coverage.answers import exchange_hours, market_hours
    from app.coverage.journals import Period
    from app.coverage.known_markets import refuse_unknown_market
    from app.databases import Kind, open_database
    from app.postgres.connection import connected

    end = end or datetime.now(UTC)
    period = Period(start or end - timedelta(hours=24), end)
    refuse_reversed(*period)
    found: list[MarketHour] | list[ExchangeHour]
    with open_database(settings, Kind.PRODUCTION) as dsn, connected(dsn, "coverage") as connection:
        found = market_hours(connection, ticker, period) if ticker else exchange_hours(connection, period)
        if ticker and not found:
            refuse_unknown_market(connection, ticker)
    for each in found:
        click.echo(msgspec.json.encode(each._asdict()) if as_json else _line(each))
    if not found:
        click.echo("Nothing was recorded then, or nothing is known of it yet.", err=True)


def _line(each: "MarketHour | ExchangeHour") -> str:
    from app.coverage.answers import MarketHour

    return _market_line(each) if isinstance(each, MarketHour) else _exchange_line(each)


def _market_line(each: "MarketHour") -> str:
    parts = [f"{each.hour:{HOUR_FORMAT}}  {each.channel:<24} {each.state}"]
    parts += [f"hole {start} to {end}" for start, end in each.holes]
    parts += [f"repaired {start} to {end}" for start, end in each.repaired]
    if each.repaired_by:
        parts.append(f"by {', '.join(each.repaired_by)}")
    return "; ".join(parts)


def _exchange_line(each: "ExchangeHour") -> str:
    known = "settled" if each.is_settled else f"known until {each.known_until:{HOUR_FORMAT}}"
    return "; ".join(
        [f"{each.hour:{HOUR_FORMAT}}  {known}", f"{each.markets_with_holes} books with holes", *_holes(each)]
    )


def _holes(each: "ExchangeHour") -> Iterator[str]:
    for channel, bounds in sorted(each.holes.items()):
        yield from (f"{channel} hole {start} to {end}" for start, end in bounds)
