"""Trades of a time that has passed, from REST. One that is there already has the same key: repeating does no harm."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from msgspec import Raw

from app.kalshi.rest_client import RestClient
from app.normal.times import SECOND_US
from app.normal.trades import rest_trade_row
from app.normal.unfit import UnfitMessageError
from app.polling.unfit import unfit_row
from app.recording import Sink
from app.store.journal_tables import QUARANTINE
from app.store.tables import TRADES, Row

TRADES_AT_ONCE = 1_000
# The exchange takes whole seconds, and which of the two bounds belongs to the interval is not documented.
MARGIN_SECONDS = 1


class BackFilled(NamedTuple):
    trades: int
    unfit: int


def backfill(
    client: RestClient,
    sink: Sink,
    started_us: int,
    ended_us: int,
    clock_us: Callable[[], int],
    ticker: str | None = None,
) -> BackFilled:
    """Returns when the sink has all of them. After an error nobody knows which: repeat all."""
    trades = unfit = 0
    for part in trades_between(client, started_us, ended_us, ticker):
        good, bad = trade_rows(part, clock_us())
        trades += len(good)
        unfit += len(bad)
        if good:
            sink.put(TRADES, good)
        if bad:
            sink.put(QUARANTINE, bad)
    return BackFilled(trades, unfit)


def trades_between(
    client: RestClient, started_us: int, ended_us: int, ticker: str | None = None
) -> Iterator[list[Raw]]:
    """All of that time, part by part, and some beside it.

    The exchange moves old trades to its archive, also while we ask. So it is asked for the recent ones first and for
    the cutoff afterwards: a trade that was moved in between comes twice rather than not at all.
    """
    min_ts = started_us // SECOND_US - MARGIN_SECONDS
    max_ts = -(-ended_us // SECOND_US) + MARGIN_SECONDS
    yield from _parts(client.trades(min_ts, max_ts, ticker))
    if min_ts < client.historical_cutoff().trades_created_ts.timestamp():
        yield from _parts(client.historical_trades(min_ts, max_ts, ticker))


def _parts(trades: Iterator[Raw]) -> Iterator[list[Raw]]:
    while part := list(islice(trades, TRADES_AT_ONCE)):
        yield part


def trade_rows(trades: Iterable[Raw], received_us: int) -> tuple[list[Row], list[Row]]:
    """And for quarantine, those that are not fit."""
    good: list[Row] = []
    bad: list[Row] = []
    for content in trades:
        try:
            good.append(rest_trade_row(content, received_us))
        except UnfitMessageError as error:
            bad.append(unfit_row(TRADES, content, str(error), received_us))
    return good, bad
