import json
from typing import TYPE_CHECKING

import click

from app.cli.archive import moment
from app.cli.moment import MomentType
from app.errors import SettingsError
from app.settings import Settings

if TYPE_CHECKING:
    from datetime import datetime

    from app.book import Knowledge
    from app.lake.book import Book


@click.command()
@click.argument("ticker")
@click.option("--at", "at_us", required=True, type=MomentType(), help="Such as 2026-11-21T15:00:00Z.")
@click.option("--json", "as_json", is_flag=True, help="In integers: millionths of a dollar, hundredths of a contract.")
@click.pass_obj
def book(settings: Settings, ticker: str, at_us: int, as_json: bool) -> None:
    """Show a market's order book at a moment, out of the lake, and whether it is certain.

    What is known of holes stands in production: it is asked, if KALSHI_PRODUCTION_DSN names it.
    """
    from app.lake.book import book_at
    from app.lake.lake import Lake
    from app.lake.storage import storage_of

    at = moment(at_us)
    _refuse_missing_lake(settings)
    found = book_at(Lake(storage_of(settings)), ticker, at, _knowledge(settings, ticker, at))
    click.echo(json.dumps(_facts(found)) if as_json else "\n".join(_lines(found)))


def _refuse_missing_lake(settings: Settings) -> None:
    """After a demo there is one, elsewhere."""
    default, demo = settings.data_dir / "lake", settings.data_dir / "demo" / "lake"
    if settings.lake is None and not default.exists() and demo.exists():
        raise SettingsError("There is no lake yet.", f"{default} is not there.", f"set KALSHI_LAKE={demo}, the demo's.")


def _knowledge(settings: Settings, ticker: str, at: "datetime") -> "Knowledge | None":
    from app.coverage.answers import knowledge_of_book
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
    until = f"known until {known_until.isoformat()}" if known_until else "nothing is known yet of what was heard"
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
