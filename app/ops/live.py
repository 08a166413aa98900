"""What a running gatherer shows of itself, and who tells it."""

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Protocol

import msgspec
from flask import Blueprint, Response, request
from msgspec import Struct

from app.errors import OperatorError
from app.kalshi.errors import NotFoundError, RestError, UnavailableError
from app.normalize.values import EPOCH
from app.ops.endpoint import MarketPath, MarketsQuery, SubscriptionsQuery
from app.ops.problems import ProblemError
from app.runtime.health import StoppedError
from app.storage.tables import ORDERBOOK_SNAPSHOTS, Row


class LiveMarket(Struct, frozen=True, kw_only=True):
    """The names are those of the admin service's markets and tickers. Prices and volume are there twice: exact texts in
    dollars and contracts, and integers in millionths of a dollar and hundredths of a contract."""

    ticker: str
    event_ticker: str
    title: str
    status: str
    trading_status: str
    market_type: str
    result: str
    exchange_index: int | None = None
    yes_bid: str | None = None
    yes_ask: str | None = None
    last_price: str | None = None
    volume: str | None = None
    yes_bid_e6: int | None = None
    yes_ask_e6: int | None = None
    last_price_e6: int | None = None
    volume_e2: int | None = None
    quoted_at: datetime | None = None  # when prices and volume were so; None: none are known yet
    open_time: datetime | None = None
    close_time: datetime | None = None
    expiration_time: datetime | None = None
    updated_time: datetime | None = None


class MarketPage(Struct, frozen=True):
    """Some markets in the order of their tickers. `next` is where to go on after; None: these are the last."""

    markets: list[LiveMarket]
    next: str | None


class LiveConnection(Struct, frozen=True, kw_only=True):
    conn: int
    role: str
    state: str
    since: datetime  # it has been in this state
    messages: int
    age_seconds: float | None  # of the last message, by the exchange's clock; None before the first
    reconnects: int
    in_doubt: int  # how many of its subscriptions lost something that is not repaired yet


class LiveSubscription(Struct, frozen=True, kw_only=True):
    """`sid` is None until the exchange has given one. Channels of the whole exchange name no markets: both are 0."""

    conn: int
    channel: str
    sid: int | None
    markets_wanted: int
    markets_heard: int


class LivePolling(Struct, frozen=True, kw_only=True):
    """How often REST is asked for the books of a class. `took_seconds` is None before the first walk has ended."""

    books: str
    every_seconds: float  # as the settings have it; a walk that takes longer is followed by the next at once
    took_seconds: float | None
    markets: int
    oldest_seconds: float  # no book of the class was polled longer ago, new ones aside


class LiveLevel(Struct, frozen=True):
    price_e6: int
    size_e2: int


class LiveBook(Struct, frozen=True, kw_only=True):
    """NO levels are at NO prices, as they are stored."""

    ticker: str
    taken_at: datetime
    yes: list[LiveLevel]
    no: list[LiveLevel]


class BusyError(OperatorError):
    """As many ask for the same thing already as may wait for it at once."""


class NoBookError(OperatorError):
    """The market is not active, or its book is not understood."""


class LiveState(Protocol):
    """Answers in milliseconds with a million markets: by pages, and without a walk through all of them."""

    def active_markets(self, after: str, limit: int) -> MarketPage:
        """Those with a greater ticker; all of them are after the empty one."""

    def market(self, ticker: str) -> LiveMarket | None: ...

    def connections(self) -> list[LiveConnection]: ...

    def subscriptions(self, ticker: str | None = None) -> list[LiveSubscription]:
        """All, or those that are to bring this market: on which connections it is."""

    def polling(self) -> list[LivePolling]: ...

    def poll_now(self, ticker: str) -> LiveBook:
        """Asks the exchange. Raises its RestError, BusyError when too many wait, NoBookError when there is none to
        give, StoppedError when we are stopping."""

    def reconcile(self) -> str | None:
        """Begins to walk through all markets that are not settled, and the events that changed. Else: why not."""


def moment(moment_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=moment_us)


def book_of(row: Row) -> LiveBook:
    """Of a row of orderbook_snapshots that has its levels."""
    column = dict(zip(ORDERBOOK_SNAPSHOTS.column_names, row, strict=True))
    return LiveBook(
        ticker=column["ticker"],
        taken_at=moment(column["snapshot_ts"]),
        yes=_levels(column["yes_prices_e6"], column["yes_sizes_e2"]),
        no=_levels(column["no_prices_e6"], column["no_sizes_e2"]),
    )


def _levels(prices_e6: list[int], sizes_e2: list[int]) -> list[LiveLevel]:
    return [LiveLevel(*level) for level in zip(prices_e6, sizes_e2, strict=True)]


# A gatherer's live state over HTTP.


def live_blueprint(live: LiveState) -> Blueprint:
    blueprint = Blueprint("live", __name__, url_prefix="/admin")
    _add_markets(blueprint, live)
    _add_state(blueprint, live)
    _add_orders(blueprint, live)
    return blueprint


def _add_markets(blueprint: Blueprint, live: LiveState) -> None:
    @blueprint.get("/markets/active")
    def active_markets() -> Response:
        query = MarketsQuery().load(request.args)
        return _json(live.active_markets(query["after"], query["limit"]))

    @blueprint.get("/markets/<ticker>")
    def market(ticker: str) -> Response:
        return _json(_known(live, ticker))


def _add_state(blueprint: Blueprint, live: LiveState) -> None:
    @blueprint.get("/subscriptions")
    def subscriptions() -> Response:
        return _json({"subscriptions": live.subscriptions(SubscriptionsQuery().load(request.args)["ticker"])})

    @blueprint.get("/connections")
    def connections() -> Response:
        return _json({"connections": live.connections()})

    @blueprint.get("/polling")
    def polling() -> Response:
        return _json({"polling": live.polling()})


def _add_orders(blueprint: Blueprint, live: LiveState) -> None:
    @blueprint.post("/poll/<ticker>")
    def poll(ticker: str) -> Response:
        return _json(_polled(live, _known(live, ticker).ticker))

    @blueprint.post("/reconcile")
    def reconcile() -> Response:
        if reason := live.reconcile():
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, reason)
        return _json({"status": "begun"})


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), mimetype="application/json")


def _known(live: LiveState, ticker: str) -> LiveMarket:
    MarketPath().load({"ticker": ticker})
    if (market := live.market(ticker)) is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"No market {ticker} is known.")
    return market


def _polled(live: LiveState, ticker: str) -> LiveBook:
    try:
        return live.poll_now(ticker)
    except NotFoundError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, error.what) from error
    except NoBookError as error:
        raise ProblemError(HTTPStatus.CONFLICT, error.what) from error
    except (BusyError, UnavailableError) as error:
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, error.what) from error
    except StoppedError as error:
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "This process is stopping.") from error
    except RestError as error:
        raise ProblemError(HTTPStatus.BAD_GATEWAY, error.what) from error
