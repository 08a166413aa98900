"""Define the live state of a running gatherer, and serve it over HTTP."""

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
    """A market as the gatherer knows it, with the names that the admin service uses for markets and tickers.

    Prices and volume are given twice: as exact texts in dollars and contracts, and as integers in millionths of a
    dollar and hundredths of a contract.
    """

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
    quoted_at: datetime | None = None  # the time of prices and volume; None: none are known yet
    open_time: datetime | None = None
    close_time: datetime | None = None
    expiration_time: datetime | None = None
    updated_time: datetime | None = None


class MarketPage(Struct, frozen=True):
    """Markets in the order of their tickers. `next` is the ticker to continue after; None: these are the last."""

    markets: list[LiveMarket]
    next: str | None


class LiveConnection(Struct, frozen=True, kw_only=True):
    conn: int
    role: str
    state: str
    since: datetime  # when it entered this state
    wanted: int  # markets, or channels of the whole exchange
    received: int
    messages: int
    age_seconds: float | None  # of the last message, by the exchange's clock; None before the first
    reconnects: int
    in_doubt: int  # number of its subscriptions with a loss that is not repaired yet


class LiveSubscription(Struct, frozen=True, kw_only=True):
    """A subscription. `sid` is None until the exchange assigns one; exchange-wide channels have 0 markets."""

    conn: int
    channel: str
    sid: int | None
    markets_wanted: int
    markets_heard: int


class LivePolling(Struct, frozen=True, kw_only=True):
    """The pace of REST polling for a class of books. `took_seconds` is None until the first cycle has ended."""

    books: str
    every_seconds: float  # as configured; a cycle that takes longer is followed by the next immediately
    took_seconds: float | None
    markets: int
    oldest_seconds: float  # no book of the class was polled longer ago, except new ones


class LiveLevel(Struct, frozen=True):
    price_e6: int
    size_e2: int


class LiveBook(Struct, frozen=True, kw_only=True):
    """An order book. NO levels have NO prices, as they are stored."""

    ticker: str
    taken_at: datetime
    yes: list[LiveLevel]
    no: list[LiveLevel]


class BusyError(OperatorError):
    """The limit of requests that may wait for the same thing is reached."""


class NoBookError(OperatorError):
    """The market is not active, or its book cannot be parsed."""


class LiveState(Protocol):
    """A gatherer's live state. It answers in milliseconds with a million markets: in pages, without a full scan."""

    def active_markets(self, after: str, limit: int) -> MarketPage:
        """Return the page of markets with greater tickers than `after`; every ticker is greater than the empty one."""

    def market(self, ticker: str) -> LiveMarket | None: ...

    def connections(self) -> list[LiveConnection]: ...

    def subscriptions(self, ticker: str | None = None) -> list[LiveSubscription]:
        """Return all subscriptions, or the ones that are to receive this market."""

    def polling(self) -> list[LivePolling]: ...

    def poll_now(self, ticker: str) -> LiveBook:
        """Poll the book now.

        Raise the exchange's RestError, BusyError if too many wait, NoBookError if there is no book, StoppedError if the
        process is stopping.
        """

    def reconcile(self) -> str | None:
        """Start to reconcile unsettled markets and changed events. Return why not, or None if it started."""


def moment(moment_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=moment_us)


def book_of(row: Row) -> LiveBook:
    """Return the book in a row of orderbook_snapshots that has its levels."""
    column = dict(zip(ORDERBOOK_SNAPSHOTS.column_names, row, strict=True))
    return LiveBook(
        ticker=column["ticker"],
        taken_at=moment(column["snapshot_ts"]),
        yes=_levels(column["yes_prices_e6"], column["yes_sizes_e2"]),
        no=_levels(column["no_prices_e6"], column["no_sizes_e2"]),
    )


def _levels(prices_e6: list[int], sizes_e2: list[int]) -> list[LiveLevel]:
    return [LiveLevel(*level) for level in zip(prices_e6, sizes_e2, strict=True)]


# HTTP endpoints of the live state.


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
