"""A gatherer's live state over HTTP."""

from http import HTTPStatus

import msgspec
from flask import Blueprint, Response, request

from admin.problems import ProblemError
from admin.queries import MarketPath, MarketsQuery, SubscriptionsQuery
from app.kalshi.rest_errors import NotFoundError, RestError, UnavailableError
from app.live import BusyError, LiveBook, LiveMarket, LiveState, NoBookError
from app.stopping import StoppedError


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
