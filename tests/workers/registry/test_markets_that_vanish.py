"""Against an exchange by a script, which shows markets no more."""

from functools import partial

import pytest

from tests.kalshi.exchange import PREFIX, Reply
from tests.markets.build import MINUTE_US, NOW_US, frame, lifecycle
from tests.workers.registry.test_market_registry_in_trouble import listing, market
from tests.workers.registry_process import running_registry

LATER = {"close_time": "2026-12-31T00:00:00Z"}
MINUTES_US = 11 * MINUTE_US


def walks(exchange):
    open_ones = {"status": "open", "mve_filter": "exclude"}
    return sum(open_ones.items() <= dict(asked.query).items() for asked in exchange.asked)


def walk(registry, exchange):
    """Until a walk that began after this is over: then another one begins."""
    for _ in range(2):
        seen = walks(exchange)
        registry.tell("reconcile")
        registry.wait_for(lambda _, seen=seen: walks(exchange) > seen, "a walk")


def test_an_empty_answer_ends_the_recording_of_no_market(exchange):
    all_markets = [market(number, **LATER) for number in range(200)]
    exchange.rule = partial(listing, all_markets)
    with running_registry(exchange.url, start_us=NOW_US) as registry:
        registry.wait_for(lambda state: state["why_not_ready"] is None, "the initial sync")
        registry.tell("stand", str(NOW_US + MINUTES_US).encode())
        exchange.rule = partial(listing, [])
        walk(registry, exchange)
        state = registry.state()
        assert (state["counts"]["active"], len(state["changes"])) == (200, 200)
        exchange.rule = partial(listing, all_markets)
        walk(registry, exchange)
        registry.tell("stand", str(NOW_US + 2 * MINUTES_US).encode())
        walk(registry, exchange)
        assert len(registry.state()["changes"]) == 200


def test_a_market_that_is_still_missing_later_ends_and_is_stored(exchange):
    exchange.rule = partial(listing, [market(1, **LATER), market(2, **LATER)])
    with running_registry(exchange.url, start_us=NOW_US) as registry:
        registry.wait_for(lambda state: state["why_not_ready"] is None, "the initial sync")
        registry.tell("stand", str(NOW_US + MINUTES_US).encode())
        exchange.rule = partial(listing, [market(1, **LATER)])
        walk(registry, exchange)
        registry.tell("stand", str(NOW_US + 2 * MINUTES_US).encode())
        walk(registry, exchange)
        state = registry.wait_for(lambda state: len(state["changes"]) == 3, "its end")
        assert state["changes"][-1] == ["KXA-1-T00002", "settled", "active", None, True, False]
        stored = state["rows"]["markets"]["KXA-1-T00002"]
        assert (stored["status"], stored["close_time"]) == ("closed", NOW_US + 2 * MINUTES_US)


@pytest.mark.parametrize("is_asked_by_name", [True, False])
def test_a_combo_that_settles_and_vanishes_is_stored_as_the_stream_told(exchange, is_asked_by_name):
    """As soon as it was asked for by name in vain, or else after the next walk."""
    ticker = "KXMVE-1-T00002"
    combo = market(2, ticker=ticker, event_ticker="KXMVE-1", close_time="2027-01-10T00:00:00Z")
    exchange.rule = partial(listing, [market(1, **LATER), combo])
    back_off_us = [1] if is_asked_by_name else [3_600_000_000]
    with running_registry(exchange.url, start_us=NOW_US, back_off_us=back_off_us) as registry:
        registry.wait_for(lambda state: state["why_not_ready"] is None, "the initial sync")
        exchange.rule = partial(listing, [market(1, **LATER)])
        decided = NOW_US // 1_000_000 - 5
        for facts in (
            {"event_type": "determined", "result": "no", "determination_ts": decided},
            {"event_type": "settled", "settled_ts": decided + 1},
        ):
            registry.tell("frame", frame(lifecycle(ticker=ticker, **facts), "multivariate_market_lifecycle"))

        def end(state):
            row = state["rows"]["markets"][ticker]
            return row["status"], row["result"], row["close_time"]

        if not is_asked_by_name:
            registry.wait_for(lambda state: state["statuses"][ticker] == "finalized", "the settlement")
            walk(registry, exchange)
        registry.wait_for(lambda state: end(state) == ("finalized", "no", decided * 1_000_000), "the stored end")
        told = [change[3] for change in registry.state()["changes"] if change[0] == ticker]
        assert told == ["active", "determined", "finalized"]


@pytest.mark.parametrize("is_combo", [False, True])
def test_a_determination_that_rest_alone_amends_is_followed(exchange, is_combo):
    """Combos are met by the next walk; of the others REST tells which ones changed."""
    ticker = "KXMVE-1-T00001" if is_combo else "KXA-1-T00001"
    shown = [market(1, ticker=ticker, status="determined", result="yes", close_time="2026-11-20T00:00:00Z")]

    def rule(asked):
        query = dict(asked.query)
        is_walk = query.get("status") == "closed" and query["mve_filter"] == ("only" if is_combo else "exclude")
        is_update = "min_updated_ts" in query and not is_combo
        if asked.path == f"{PREFIX}/markets" and (is_walk or is_update):
            return Reply(200, {"markets": shown, "cursor": ""})
        return listing([], asked)

    exchange.rule = rule
    intervals = {"full_reconcile_seconds": 1 if is_combo else 3_600, "reconcile_seconds": 1}
    with running_registry(exchange.url, start_us=NOW_US, **intervals) as registry:
        registry.wait_for(lambda state: state["counts"]["determined"] == 1, "the determination")
        shown[0] = {**shown[0], "status": "amended", "result": "no"}
        state = registry.wait_for(lambda state: state["counts"]["amended"] == 1, "the amendment")
        stored = state["rows"]["markets"][ticker]
        assert (stored["status"], stored["result"]) == ("amended", "no")
