import json

import click

from app.cli.archive import moment
from app.cli.moment import MomentType
from app.settings import Settings


@click.command()
@click.argument("ticker")
@click.option("--at", "at_us", required=True, type=MomentType(), help="Such as 2026-11-21T15:00:00Z.")
@click.option("--json", "as_json", is_flag=True, help="In integers: millionths of a dollar, hundredths of a contract.")
@click.pass_obj
def book(settings: Settings, ticker: str, at_us: int, as_json: bool) -> None:
    """Show a market's order book at a moment, out of the lake."""
    from app.lake.book import book_at
    from app.lake.lake import Lake
    from app.lake.storage import storage_of

    found = book_at(Lake(storage_of(settings)), ticker, moment(at_us))
    if as_json:
        sides = {"yes": found.bids(yes_side=True), "no": found.bids(yes_side=False)}
        click.echo(json.dumps({"ticker": ticker, "snapshot_ts": found.snapshot_ts.isoformat(), **sides}))
        return
    click.echo(f"{ticker} at {found.at.isoformat()}, from the snapshot of {found.snapshot_ts.isoformat()} on")
    click.echo(f"{'side':4} {'price':>10} {'contracts':>14}")
    asks = [(1_000_000 - price_e6, size_e2) for price_e6, size_e2 in found.bids(yes_side=False)]
    for name, levels in (("ask", reversed(asks)), ("bid", found.bids(yes_side=True))):
        for price_e6, size_e2 in levels:
            click.echo(f"{name:4} {_decimal(price_e6, 6):>10} {_decimal(size_e2, 2):>14}")


def _decimal(value: int, places: int) -> str:
    whole, fraction = divmod(value, 10**places)
    return f"{whole}.{fraction:0{places}}"
