"""The gatherers' live state, and what can be asked of them."""

from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, request

from admin.answers import json_answer
from admin.changes import note
from admin.database import Database
from admin.described import described
from admin.gatherers import Gatherers, Said
from admin.problems import ProblemError
from admin.queries import NoQuery, SubscriptionsQuery, checked_path
from admin.schemas import OfGatherers
from app.tokens import Role


def fleet_blueprint(database: Database, gatherers: Gatherers) -> Blueprint:
    blueprint = Blueprint("fleet", __name__, url_prefix="/admin")
    _add_state(blueprint, gatherers)
    _add_orders(blueprint, database, gatherers)
    return blueprint


def _add_state(blueprint: Blueprint, gatherers: Gatherers) -> None:
    subscriptions_query = SubscriptionsQuery()

    @blueprint.get("/gatherers")
    @described("Whether each gatherer is ready, and why not.", query=NoQuery, answer=OfGatherers)
    def ready() -> Response:
        return _told(gatherers.ready())

    @blueprint.get("/connections")
    @described("The gatherers' sockets to the exchange.", query=NoQuery, answer=OfGatherers)
    def connections() -> Response:
        return _told(gatherers.connections())

    @blueprint.get("/polling")
    @described("How long the last walk over the books of each class took, by REST.", query=NoQuery, answer=OfGatherers)
    def polling() -> Response:
        return _told(gatherers.polling())

    @blueprint.get("/subscriptions")
    @described(
        "What the sockets listen to; with `ticker`, those that have it.", query=SubscriptionsQuery, answer=OfGatherers
    )
    def subscriptions() -> Response:
        ticker = subscriptions_query.load(request.args)["ticker"]
        return _told(gatherers.subscriptions() if ticker is None else gatherers.subscriptions_of(ticker))


def _add_orders(blueprint: Blueprint, database: Database, gatherers: Gatherers) -> None:
    @blueprint.post("/markets/<ticker>/poll")
    @described("Ask the exchange for a market's book now; a gatherer records it.", Role.OPERATE, answer=OfGatherers)
    def poll(ticker: str) -> Response:
        said = gatherers.poll(checked_path({"ticker": ticker})["ticker"])
        return _ordered(database, "poll", {"ticker": ticker}, said)

    @blueprint.post("/reconcile")
    @described(
        "Have every gatherer walk through all markets that are not settled, and the events that changed, now.",
        Role.OPERATE,
        answer=OfGatherers,
    )
    def reconcile() -> Response:
        return _ordered(database, "reconcile", {}, gatherers.reconcile())


def _ordered(database: Database, action: str, parameters: dict[str, Any], said: list[Said]) -> Response:
    """Refused where no gatherer does it."""
    if not said:
        raise ProblemError(HTTPStatus.CONFLICT, "KALSHI_GATHERER_OPS names no gatherer.")
    outcome = [{"gatherer": each.gatherer, "status": each.status, "error": each.error} for each in said]
    note(database, action, parameters, {"gatherers": outcome})
    if all(each.status != HTTPStatus.OK for each in said):
        raise _refusal(said[-1])
    return _told(said)


def _told(said: list[Said]) -> Response:
    told: list[dict[str, Any]] = [
        {**each.body, "gatherer": each.gatherer, "answer": each.status, "error": each.error} for each in said
    ]
    return json_answer({"gatherers": told})


def _refusal(said: Said) -> ProblemError:
    detail = said.error or str(said.body.get("detail", "It gave no reason."))
    known = {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}
    status = HTTPStatus(said.status) if said.status in known else HTTPStatus.SERVICE_UNAVAILABLE
    return ProblemError(status, f"{said.gatherer}: {detail}")
