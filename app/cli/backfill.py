import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from app.cli.moment import MomentType, refuse_reversed
from app.cli.progress import progress
from app.clock import now_us
from app.errors import SettingsError
from app.settings import Settings

if TYPE_CHECKING:
    from app.kalshi.rest_client import RestClient
    from app.polling.direct_sink import DirectSink

HOUR_US = 3_600_000_000
PATIENCE_SECONDS = 300
FIRST_ANSWER_SECONDS = 10


@click.command()
@click.option("--from", "started_us", required=True, type=MomentType(), help="Such as 2026-11-21T15:00:00Z.")
@click.option("--to", "ended_us", required=True, type=MomentType(), help="Such as 2026-11-21T16:00:00Z.")
@click.option("--ticker", help="Of one market; of all, if not given.")
@click.pass_obj
def backfill(settings: Settings, started_us: int, ended_us: int, ticker: str | None) -> None:
    """Fetch the trades of a time from REST into a gatherer's database. What is there already stays as it is.

    Trades of long ago come from the exchange's archive. Order books it does not keep at all.
    """
    from app.polling.backfill import BackFilled
    from app.polling.backfill import backfill as fetch
    from app.store.tables import TRADES

    refuse_reversed(started_us, ended_us)
    starts = range(started_us, ended_us, HOUR_US)
    fetched = BackFilled(0, 0)
    with _client(settings) as client, _sink(settings) as sink, progress(starts, "Fetching hours") as hours:
        for start_us in hours:
            end_us = min(start_us + HOUR_US, ended_us)
            done = fetch(client, sink, start_us, end_us, now_us, ticker)
            fetched = BackFilled(fetched.trades + done.trades, fetched.unfit + done.unfit)
    new = sink.inserted.get(TRADES.name, 0)
    click.echo(f"fetched {fetched.trades} trades, {new} of them new; {fetched.unfit} in quarantine")


@contextmanager
def _client(settings: Settings) -> Iterator["RestClient"]:
    from app.kalshi.rest_client import RestClient
    from app.kalshi.rest_transport import transport_of
    from app.kalshi.waiting_line import Priority

    transport = transport_of(settings, threading.Event())
    client = RestClient(transport, Priority.REPAIR, PATIENCE_SECONDS)
    try:
        # One that is not there at all is told at once, and not after the patience that outages need.
        transport.status(Priority.REPAIR, FIRST_ANSWER_SECONDS)
        client.adopt_account_limits(settings.request_sharers)
        yield client
    finally:
        transport.close()


@contextmanager
def _sink(settings: Settings) -> Iterator["DirectSink"]:
    from app.databases import Kind, open_databases
    from app.polling.direct_sink import DirectSink

    with open_databases(settings) as databases:
        dsn = dict(databases).get(Kind.TIMESERIES)
        if dsn is None:
            raise SettingsError(
                "There is no database for trades.", "KALSHI_TS_DSN is not set.", "set it to the gatherer's."
            )
        sink = DirectSink(dsn)
        try:
            yield sink
        finally:
            sink.close()
