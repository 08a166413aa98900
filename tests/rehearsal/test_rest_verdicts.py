"""What is made of REST: of answers by a script, and of what the probe noted."""

import json
import threading

import msgspec
import pytest

from app.kalshi.private_key import PrivateKey
from app.kalshi.request_budget import RequestBudget
from app.kalshi.rest_objects import AccountLimits
from app.kalshi.rest_transport import RestTransport
from app.kalshi.signing import Signer
from app.normalize.metadata import market_row
from app.rehearsal import known_fields as known
from app.rehearsal import rest_probe as judge
from app.rehearsal.known_fields import MESSAGES, unknown_in_frame
from app.rehearsal.rest_probe import EndpointCosts, NotedSession, Probed, RestProbe
from app.settings.gatherer import EXAMPLE_KEY
from tests.kalshi.exchange import PLENTY, PREFIX, QUICK, FakeExchange, Reply
from tests.normalize.frames import delta, lifecycle, snapshot, ticker, trade
from tests.rehearsal.records import evidence_of
from tests.specifications import published

LIMITS = {"usage_tier": "expert", "read": {"refill_rate": 600, "bucket_capacity": 600}}
MARKET = {"ticker": "M-1", "event_ticker": "E", "status": "active", "created_time": "2026-11-01T12:00:00Z"}
BOOK = {"ticker": "M-1", "orderbook_fp": {"yes_dollars": [], "no_dollars": []}}
EMPTY = {"markets": [], "events": [], "series": [], "trades": [], "orderbooks": [], "cursor": ""}


@pytest.fixture
def exchange(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FakeExchange().running() as running:
        running.answers(Reply(200, EMPTY))
        yield running


def probed(exchange, **replies):
    exchange.by_path = {f"{PREFIX}/{path.replace('__', '/')}": reply for path, reply in replies.items()}
    session = NotedSession(exchange.url, Signer("id", PrivateKey(EXAMPLE_KEY)))
    transport = RestTransport(session, RequestBudget(PLENTY), threading.Event(), QUICK)
    probe = RestProbe(transport, session)
    try:
        probe.run(1)
    finally:
        transport.close()
    return probe


def by_name(probe):
    return {each.name: each for each in probe.probed}


def test_an_object_that_lacks_what_we_parse_is_told_with_its_endpoint(exchange):
    probe = probed(exchange, markets=Reply(200, {"markets": [MARKET, {"ticker": "M-2"}], "cursor": ""}))
    verdict = judge.rest_fits(probe.probed)
    assert verdict.answer.value == "no"
    assert (
        "/markets status=unopened mve_filter=exclude: Object missing required field `event_ticker`" in verdict.evidence
    )


def test_a_field_that_nobody_knew_is_listed_and_does_no_harm(exchange):
    probe = probed(exchange, markets=Reply(200, {"markets": [{**MARKET, "brand_new": 1}], "cursor": ""}))
    assert by_name(probe)["/markets status=open mve_filter=only"].unknown_fields == ("brand_new",)
    assert judge.rest_fits(probe.probed).answer.value == "yes"


def test_an_endpoint_that_refuses_us_is_told_and_the_others_are_asked(exchange):
    probe = probed(exchange, series=Reply(400, {"error": {"code": "bad_request", "message": "no"}}))
    assert judge.rest_answers(probe.probed).answer.value == "no"
    assert by_name(probe)["/series"].error == "The exchange answered /series with 400: bad_request: no"
    assert "/markets/trades" in by_name(probe)


def test_costs_that_are_not_told_keep_nothing_from_working():
    probed = [Probed("/markets", 1), Probed("/account/endpoint_costs", 0, error="not found")]
    assert evidence_of(judge.rest_answers(probed)) == ("yes", "1 of 1 endpoints")
    assert judge.token_cost(None).answer.value == "not judged"


def test_an_answer_of_another_shape_is_told(exchange):
    probe = probed(exchange, exchange__status=Reply(200, {"active": True}))
    assert "has an unexpected form" in by_name(probe)["/exchange/status"].error


def test_pages_that_do_not_move_on_are_noticed(exchange):
    probe = probed(exchange, markets=Reply(200, {"markets": [MARKET], "cursor": ""}))
    assert judge.rest_pages(probe.pages).answer.value == "not judged"
    assert judge.rest_pages([(["A"], "1"), (["A"], "2")]).answer.value == "no"
    assert judge.rest_pages([(["A"], "1"), (["B"], "")]).answer.value == "yes"


def test_the_busiest_markets_are_those_of_the_latest_trades(exchange):
    names = ["A", "B", "B", "C", "C", "C"]
    trades = [{**TRADE, "trade_id": str(place), "ticker": name} for place, name in enumerate(names)]
    probe = probed(
        exchange,
        markets__trades=Reply(200, {"trades": trades, "cursor": ""}),
        markets=Reply(200, {"markets": [MARKET], "cursor": ""}),
    )
    assert probe.busiest() == ["C", "B", "A", "M-1"]


TRADE = {
    "yes_price_dollars": "0.3600",
    "no_price_dollars": "0.6400",
    "count_fp": "1.00",
    "taker_side": "no",
    "created_time": "2026-11-01T12:00:00.123456Z",
}


def test_the_account_s_tier_is_told():
    limits = msgspec.convert(LIMITS, AccountLimits)
    assert evidence_of(judge.key_signs(limits, [])) == ("yes", "tier expert: 600 tokens a second, 600 at most")


def test_a_key_that_is_refused_is_told_in_the_exchange_s_words(exchange):
    verdict = judge.key_signs(None, [Probed("/account/limits", 0, error="answered 401: authentication_error")])
    assert evidence_of(verdict) == ("no", "answered 401: authentication_error")
    assert judge.key_signs(None, []).answer.value == "not judged"


@pytest.mark.parametrize(
    ("costs", "answer"),
    [
        ({"default_cost": 10, "endpoint_costs": []}, "yes"),
        ({"default_cost": 20, "endpoint_costs": []}, "no"),
        ({"default_cost": 10, "endpoint_costs": [{"method": "GET", "path": "/markets/orderbooks", "cost": 50}]}, "no"),
        ({"default_cost": 10, "endpoint_costs": [{"method": "POST", "path": "/portfolio/orders", "cost": 50}]}, "yes"),
    ],
    ids=["as counted", "dearer", "ours dearer", "another's dearer"],
)
def test_costs_are_what_the_budget_counts(costs, answer):
    assert judge.token_cost(msgspec.convert(costs, EndpointCosts)).answer.value == answer


def test_an_older_market_before_a_newer_one_is_told():
    rows = [
        market_row(json.dumps({**MARKET, "ticker": name, "created_time": f"2026-11-01T12:00:0{second}Z"}).encode(), 0)
        for name, second in (("A", 5), ("B", 3), ("C", 4))
    ]
    assert evidence_of(judge.markets_newest_first(rows)) == ("no", "2 of 3 markets; not C after B")


def test_books_are_those_that_were_asked_for():
    assert judge.books_by_batch(["A", "B"], ["B", "A"]).answer.value == "yes"
    assert (
        judge.books_by_batch(["A", "B"], ["A", "Z"]).evidence == "0 of 2 books in one request; not B, Z, not asked for"
    )


def test_a_market_that_does_not_exist_has_nothing(exchange):
    probe = probed(exchange, markets__orderbooks=Reply(200, {"orderbooks": [BOOK]}))
    assert (
        judge.unknown_market(probe.found_unknown, probe.probed).answer.value == "no"
    )  # markets/… answers, and has none
    assert judge.unknown_market([], [Probed("/markets/{ticker} of an unknown market", 0)]).answer.value == "yes"
    assert judge.unknown_market(["the market X"], [Probed("… of an unknown market", 1)]).answer.value == "no"


@pytest.mark.parametrize("frame", [delta(), snapshot(), trade(), ticker(), lifecycle(market_ticker="A")])
def test_today_s_frames_have_no_unknown_fields(frame):
    assert unknown_in_frame(frame)[1] == set()


def test_the_known_fields_are_those_of_the_published_specification():
    definitions = published("rest-schema-defs-*.json")
    schemas = definitions.get("$defs", definitions)
    for name, ours in {
        "Market": known.MARKET - {"liquidity_dollars"},
        "EventData": known.EVENT,
        "Series": known.SERIES,
        "Trade": known.TRADE,
        "ExchangeStatus": known.STATUS,
        "GetHistoricalCutoffResponse": known.CUTOFF,
        "GetAccountApiLimitsResponse": known.LIMITS,
    }.items():
        assert ours == set(schemas[name]["properties"]), name
    bodies = published("ws-payload-defs-*.json")
    bodies = bodies.get("$defs", bodies)
    for kind, name in {"orderbook_delta": "orderbookDelta", "ticker": "ticker", "trade": "trade"}.items():
        assert set(bodies[f"{name}Payload"]["properties"]["msg"]["properties"]) == MESSAGES[kind], kind
