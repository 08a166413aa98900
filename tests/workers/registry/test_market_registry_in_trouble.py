"""Against an exchange that answers by a script."""

from functools import partial

import pytest

from tests.kalshi.exchange import PREFIX, FakeExchange, Reply
from tests.workers.registry_process import running_registry

MANY = 3_000
OPEN = {"exchange_active": True, "trading_active": False}
SHUT = {"exchange_active": False, "trading_active": False, "exchange_estimated_resume_time": "2020-01-01T00:00:00Z"}


def market(number, **fields):
    names = {"ticker": f"KXA-1-T{number:05}", "event_ticker": "KXA-1"}
    return {**names, "status": "active", "title": "Will it?", "close_time": "2099-01-01T00:00:00Z", **fields}


def listing(markets, asked):
    """Lists of a page each: the open markets, and nothing else."""
    query = dict(asked.query)
    if asked.path == f"{PREFIX}/exchange/status":
        return Reply(200, OPEN)
    if asked.path == f"{PREFIX}/series":
        return Reply(200, {"series": []})
    if asked.path.startswith(f"{PREFIX}/events"):
        return Reply(200, {"events": [], "cursor": ""})
    shown = markets if query.get("status") == "open" and query["mve_filter"] == "exclude" else []
    return Reply(200, {"markets": shown, "cursor": ""})


@pytest.fixture
def exchange():
    with FakeExchange().running() as running:
        yield running


def test_it_waits_for_the_exchange_to_open_and_then_begins(exchange):
    open_rule = partial(listing, [market(1)])
    exchange.rule = lambda asked: Reply(200, SHUT) if asked.path.endswith("status") else open_rule(asked)
    with running_registry(exchange.url, status_seconds=1) as registry:
        registry.wait_for(lambda _: len(exchange.asked) >= 2, "a second question for the status")
        state = registry.state()
        assert (state["exchange_open"], state["counts"]["active"]) == (False, 0)
        assert "waiting for the exchange" in state["why_not_ready"]
        assert {asked.path for asked in exchange.asked} == {f"{PREFIX}/exchange/status"}
        exchange.rule = open_rule
        registry.wait_for(lambda state: state["why_not_ready"] is None, "the initial sync")
        assert registry.state()["active"] == ["KXA-1-T00001"]


def test_a_refused_key_halts_what_met_it_and_nothing_else(exchange):
    rule = partial(listing, [market(1)])
    exchange.rule = lambda asked: Reply(401, {}) if asked.path == f"{PREFIX}/series" else rule(asked)
    with running_registry(exchange.url, status_seconds=1) as registry:
        state = registry.wait_for(lambda state: "halted" in (state["why_not_ready"] or ""), "an alarm")
        assert "event_updates halted" in state["why_not_ready"]
        asked = len(exchange.asked)
        registry.wait_for(lambda _: len(exchange.asked) > asked + 1, "further questions")
        assert registry.state()["active"] == ["KXA-1-T00001"]
        assert registry.stop() == 0


def test_an_object_that_cannot_be_read_is_kept_and_the_others_are_followed(exchange):
    bad = market(2, status="asleep")
    exchange.rule = partial(listing, [market(1), bad, market(3)])
    with running_registry(exchange.url) as registry:
        state = registry.wait_for(lambda state: state["why_not_ready"] is None, "the initial sync")
        assert state["active"] == ["KXA-1-T00001", "KXA-1-T00003"]
        assert [row[1:] for row in state["quarantined"]] == [["markets", "'asleep' is not a market status"]]


def test_an_answer_without_sense_is_asked_for_again(exchange):
    rule = partial(listing, [market(1)])
    seen = []

    def once_wrong(asked):
        seen.append(asked.path)
        return Reply(400, {}) if seen.count(f"{PREFIX}/markets") == 1 else rule(asked)

    exchange.rule = once_wrong
    with running_registry(exchange.url) as registry:
        registry.wait_for(lambda state: state["active"] == ["KXA-1-T00001"], "another walk")


def test_what_is_known_already_is_not_stored_again(exchange):
    exchange.rule = partial(listing, [market(number) for number in range(10)])
    with running_registry(exchange.url, full_reconcile_seconds=1) as registry:
        registry.wait_for(lambda state: state["why_not_ready"] is None, "the initial sync")
        walks = sum(dict(asked.query).get("status") == "open" for asked in exchange.asked)
        registry.wait_for(
            lambda _: sum(dict(asked.query).get("status") == "open" for asked in exchange.asked) > walks + 4,
            "two more walks",
        )
        assert registry.state()["puts"] == 10


def test_a_market_that_no_page_shows_any_more_is_asked_for_by_name(exchange):
    exchange.rule = partial(listing, [market(1), market(2)])
    with running_registry(exchange.url, full_reconcile_seconds=1) as registry:
        registry.wait_for(lambda state: state["why_not_ready"] is None, "the initial sync")
        rule = partial(listing, [market(1)])
        settled = {"markets": [market(2, status="finalized", result="yes")], "cursor": ""}
        exchange.rule = lambda asked: Reply(200, settled) if "tickers" in dict(asked.query) else rule(asked)
        state = registry.wait_for(lambda state: state["counts"]["finalized"] == 1, "the settlement")
        assert state["active"] == ["KXA-1-T00001"]
        assert state["rows"]["markets"]["KXA-1-T00002"]["result"] == "yes"
        assert state["changes"][-1] == ["KXA-1-T00002", "settled", "active", "finalized", True, False]


def test_a_slow_listener_holds_it_up_and_misses_nothing(exchange):
    exchange.rule = partial(listing, [market(number) for number in range(MANY)])
    with running_registry(exchange.url, is_slow=True) as registry:
        registry.wait_for(lambda _: registry.ask("waiting") == 1_000, "a full queue")
        assert registry.state()["why_not_ready"] is not None
        assert registry.ask("take", str(MANY).encode()) == [market(number)["ticker"] for number in range(MANY)]
        registry.wait_for(lambda state: state["why_not_ready"] is None, "the initial sync")


def test_a_full_queue_does_not_keep_it_from_stopping(exchange):
    exchange.rule = partial(listing, [market(number) for number in range(MANY)])
    with running_registry(exchange.url, is_slow=True) as registry:
        registry.wait_for(lambda _: registry.ask("waiting") == 1_000, "a full queue")
        assert registry.terminate() == 0


def test_events_are_followed_though_those_of_combos_cannot_be_listed(exchange):
    rule = partial(listing, [market(1)])
    exchange.rule = lambda asked: Reply(400, {}) if asked.path.endswith("/multivariate") else rule(asked)
    with running_registry(exchange.url, events_seconds=1) as registry:
        registry.wait_for(lambda _: any("min_updated_ts" in dict(asked.query) for asked in exchange.asked), "a look")
        assert registry.state()["why_not_ready"] is None
