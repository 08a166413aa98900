"""The gatherers' live state, and the two orders that they take: poll a market's book, and reconcile the registry.

In: requests to the admin service. Out: the answers of the gatherers' ops ports. A gatherer that does not answer is
listed with its error; it never fails the whole answer.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote

import requests
from flask import Blueprint, Response, request

from admin.api.lists import json_answer
from admin.api.schemas import OfGatherersSchema
from admin.web.cache import TtlCache
from admin.web.database import RequestDatabase, note
from app.ops.endpoint import NoQuery, SubscriptionsQuery, checked_path, endpoint
from app.ops.problems import ProblemError
from app.runtime.secrets import TokenRole

# Requests to the gatherers' ops ports.

CONNECT_SECONDS, ANSWER_SECONDS = 1.0, 5.0
POLL_SECONDS = 30.0
REMEMBERED_SECONDS = 2.0


class OpsResponse(NamedTuple):
    """One gatherer's answer, or the reason why there is none."""

    gatherer: str
    status: int | None
    body: dict[str, Any]
    error: str | None = None


class Gatherers:
    """The ops ports of all gatherers, asked concurrently. Answers are cached for a moment, so that a page with many
    viewers costs the gatherers little."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = dict(sorted(urls.items()))
        self.ready = self._remembered("/ready")
        self.connections = self._remembered("/admin/connections")
        self.polling = self._remembered("/admin/polling")
        self.subscriptions = self._remembered("/admin/subscriptions")

    def subscriptions_of(self, ticker: str) -> list[OpsResponse]:
        return self._ask_all("/admin/subscriptions", {"ticker": ticker})

    def poll(self, ticker: str) -> list[OpsResponse]:
        """Order the poll from one gatherer after the other, until one has asked the exchange for the book. Return all
        answers so far."""
        told: list[OpsResponse] = []
        for name in self._urls:
            told.append(self._call("POST", name, f"/admin/poll/{quote(ticker, safe='')}", POLL_SECONDS))
            if told[-1].status == requests.codes.ok:
                break
        return told

    def reconcile(self) -> list[OpsResponse]:
        return self._ask_all("/admin/reconcile", method="POST")

    def _remembered(self, path: str) -> TtlCache[list[OpsResponse]]:
        return TtlCache(lambda: self._ask_all(path), REMEMBERED_SECONDS)

    def _ask_all(
        self, path: str, parameters: Mapping[str, str] | None = None, method: str = "GET"
    ) -> list[OpsResponse]:
        if not self._urls:
            return []
        with ThreadPoolExecutor(len(self._urls)) as pool:
            return list(pool.map(lambda name: self._call(method, name, path, ANSWER_SECONDS, parameters), self._urls))

    def _call(
        self, method: str, name: str, path: str, patience: float, parameters: Mapping[str, str] | None = None
    ) -> OpsResponse:
        try:
            with requests.Session() as session:
                # No proxy and no .netrc of the environment: ops ports are reached directly.
                session.trust_env = False
                answer = session.request(
                    method,
                    self._urls[name] + path,
                    params=parameters,
                    timeout=(CONNECT_SECONDS, patience),
                    allow_redirects=False,
                )
                return OpsResponse(name, answer.status_code, _object(answer))
        except requests.RequestException as error:
            return OpsResponse(name, None, {}, f"It does not answer: {type(error).__name__}.")


def _object(answer: requests.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except requests.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def fleet_blueprint(database: RequestDatabase, gatherers: Gatherers) -> Blueprint:
    blueprint = Blueprint("fleet", __name__, url_prefix="/admin")
    _add_state(blueprint, gatherers)
    _add_orders(blueprint, database, gatherers)
    return blueprint


def _add_state(blueprint: Blueprint, gatherers: Gatherers) -> None:
    subscriptions_query = SubscriptionsQuery()

    @blueprint.get("/gatherers")
    @endpoint("Whether each gatherer is ready, and why not.", query=NoQuery, answer=OfGatherersSchema)
    def ready() -> Response:
        return _response(gatherers.ready())

    @blueprint.get("/connections")
    @endpoint("The gatherers' sockets to the exchange.", query=NoQuery, answer=OfGatherersSchema)
    def connections() -> Response:
        return _response(gatherers.connections())

    @blueprint.get("/polling")
    @endpoint("Duration of the last polling cycle of each class of books.", query=NoQuery, answer=OfGatherersSchema)
    def polling() -> Response:
        return _response(gatherers.polling())

    @blueprint.get("/subscriptions")
    @endpoint(
        "What each connection subscribed to; with `ticker`, the connections that receive it.",
        query=SubscriptionsQuery,
        answer=OfGatherersSchema,
    )
    def subscriptions() -> Response:
        ticker = subscriptions_query.load(request.args)["ticker"]
        return _response(gatherers.subscriptions() if ticker is None else gatherers.subscriptions_of(ticker))


def _add_orders(blueprint: Blueprint, database: RequestDatabase, gatherers: Gatherers) -> None:
    @blueprint.post("/markets/<ticker>/poll")
    @endpoint(
        "Request a market's book from the exchange now; a gatherer records it.",
        TokenRole.OPERATE,
        answer=OfGatherersSchema,
    )
    def poll(ticker: str) -> Response:
        said = gatherers.poll(checked_path({"ticker": ticker})["ticker"])
        return _record_order(database, "poll", {"ticker": ticker}, said)

    @blueprint.post("/reconcile")
    @endpoint(
        "Have every gatherer read all unsettled markets, and the events that changed, now.",
        TokenRole.OPERATE,
        answer=OfGatherersSchema,
    )
    def reconcile() -> Response:
        return _record_order(database, "reconcile", {}, gatherers.reconcile())


def _record_order(
    database: RequestDatabase, action: str, parameters: dict[str, Any], said: list[OpsResponse]
) -> Response:
    """Record the order and its outcome. Raise ProblemError if no gatherer accepted it."""
    if not said:
        raise ProblemError(HTTPStatus.CONFLICT, "KALSHI_GATHERER_OPS is not set.")
    outcome = [{"gatherer": each.gatherer, "status": each.status, "error": each.error} for each in said]
    note(database, action, parameters, {"gatherers": outcome})
    if all(each.status != HTTPStatus.OK for each in said):
        raise _refusal(said[-1])
    return _response(said)


def _response(said: list[OpsResponse]) -> Response:
    told: list[dict[str, Any]] = [
        {**each.body, "gatherer": each.gatherer, "answer": each.status, "error": each.error} for each in said
    ]
    return json_answer({"gatherers": told})


def _refusal(said: OpsResponse) -> ProblemError:
    detail = said.error or str(said.body.get("detail", "It gave no reason."))
    known = {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}
    status = HTTPStatus(said.status) if said.status in known else HTTPStatus.SERVICE_UNAVAILABLE
    return ProblemError(status, f"{said.gatherer}: {detail}")
