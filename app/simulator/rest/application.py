"""The REST application: all endpoints, with authentication, request budget and faults in front of them.

In: HTTP requests. Out: the endpoints' answers, or the exchange's errors in the configured shape.
"""

import time

import gevent
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from app.simulator.fault_desk import FaultDesk
from app.simulator.faults import RestDelay, SimRestError
from app.simulator.keys import AuthenticationError, KeyRing
from app.simulator.limits import ErrorBodies, SimRequestBudget
from app.simulator.rest.catalog import event_routes, market_routes, series_routes
from app.simulator.rest.exchange import account_routes, exchange_routes, status_json
from app.simulator.rest.queries import SimProblem
from app.simulator.rest.site import Site, json_response
from app.simulator.rest.trades import candle_routes, historical_routes, trade_routes

PREFIX = "/trade-api/v2"
CODES = {401: "authentication_error", 429: "too_many_requests", 503: "service_unavailable", 504: "gateway_timeout"}


def create_application(
    site: Site, errors: ErrorBodies, budget: SimRequestBudget, keys: KeyRing, faults: FaultDesk
) -> Flask:
    application = Flask("kalshi-simulator")
    # An unhandled error ends the process, as everywhere in the simulator.
    application.config["PROPAGATE_EXCEPTIONS"] = True
    blueprints = (exchange_routes, market_routes, trade_routes, event_routes, series_routes, candle_routes)
    for blueprint in (*(routes(site) for routes in blueprints), historical_routes(site), account_routes(budget.tier)):
        application.register_blueprint(blueprint, url_prefix=PREFIX)

    @application.before_request
    def admit() -> Response | None:
        if faults.is_in_maintenance:
            return _closed(errors)
        g.key_id = _key_id(keys)
        if not budget.spend(g.key_id or request.remote_addr or ""):
            raise SimProblem(429, CODES[429], "too many requests")
        _apply_faults(faults)
        return None

    @application.errorhandler(SimProblem)
    def problem(error: SimProblem) -> Response:
        return _error(errors, error.status, error.code, error.message)

    @application.errorhandler(HTTPException)
    def http_problem(error: HTTPException) -> Response:
        name = error.name.lower()
        return _error(errors, error.code or 500, name.replace(" ", "_"), name)

    return application


def _closed(errors: ErrorBodies) -> Response:
    """Return the answer under maintenance: 503, with a body for the exchange's status alone."""
    if request.path != f"{PREFIX}/exchange/status":
        return _error(errors, 503, CODES[503], "the exchange is under maintenance")
    response = json_response(status_json(trading_active=False, exchange_active=False))
    response.status_code = 503
    return response


def _key_id(keys: KeyRing) -> str | None:
    """Return the id of the key that signed the request, or None: market data does not require a signature."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    if "kalshi-access-key" not in headers:
        return None
    try:
        return keys.authenticate(headers, request.method, request.path, time.time_ns() // 1_000_000)
    except AuthenticationError as error:
        raise SimProblem(401, error.code, error.message) from None


def _apply_faults(faults: FaultDesk) -> None:
    """Apply the fault, if there is one, that befalls this request."""
    match faults.rest_fault(request.path):
        case RestDelay(delay_seconds=seconds):
            gevent.sleep(seconds)
        case SimRestError(status=status):
            raise SimProblem(
                status, CODES.get(status, "internal_error"), CODES.get(status, "internal error").replace("_", " ")
            )


def _error(errors: ErrorBodies, status: int, code: str, message: str) -> Response:
    response = json_response(errors.body(code, message))
    response.status_code = status
    return response
