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
    subscriptions_query = SubscriptionsQuery()

    @blueprint.get("/gatherers")
    @described("Whether each gatherer is ready, and why not.", query=NoQuery, answer=OfGatherers)
    def ready() -> Response:
        return _told(gatherers.ready())

    @blueprint.get("/connections")
    @described("The gatherers' sockets to the exchange.", query=NoQuery, answer=OfGatherers)
    def connections() -> Response:
        return _told(gatherers.connections())

    @blueprint.get("/subscriptions")
    @described(
        "What the sockets listen to; with `ticker`, those that have it.", query=SubscriptionsQuery, answer=OfGatherers
    )
    def subscriptions() -> Response:
        asked = subscriptions_query.load(request.args)
        if asked["ticker"] is None:
            return _told(gatherers.subscriptions())
        return _told(gatherers.subscriptions_of(asked["ticker"]))

    @blueprint.post("/markets/<ticker>/poll")
    @described("Ask the exchange for a market's book now; a gatherer records it.", Role.OPERATE, answer=OfGatherers)
    def poll(ticker: str) -> Response:
        said = gatherers.poll(checked_path({"ticker": ticker})["ticker"])
        if not said:
            raise ProblemError(HTTPStatus.CONFLICT, "KALSHI_GATHERER_OPS names no gatherer.")
        outcome = {"gatherer": said[-1].gatherer, "status": said[-1].status, "error": said[-1].error}
        note(database, "poll", {"ticker": ticker}, outcome)
        if said[-1].status != HTTPStatus.OK:
            raise _refusal(said[-1])
        return _told(said)

    return blueprint


def _told(said: list[Said]) -> Response:
    told: list[dict[str, Any]] = [
        {**each.body, "gatherer": each.gatherer, "answer": each.status, "error": each.error} for each in said
    ]
    return json_answer({"gatherers": told})


def _refusal(said: Said) -> ProblemError:
    detail = said.error or str(said.body.get("detail", "It gave no reason."))
    status = HTTPStatus.NOT_FOUND if said.status == HTTPStatus.NOT_FOUND else HTTPStatus.SERVICE_UNAVAILABLE
    return ProblemError(status, f"{said.gatherer}: {detail}")
