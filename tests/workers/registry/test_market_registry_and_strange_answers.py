"""Against an exchange by a script, which refuses something or answers what cannot be."""

import json
from functools import partial

from tests.kalshi.exchange import PREFIX, Reply
from tests.markets.build import frame, lifecycle
from tests.workers.registry.test_market_registry_in_trouble import listing, market
from tests.workers.registry.test_markets_that_vanish import walks
from tests.workers.registry_process import running_registry


def refusals(exchange):
    refused = {"status": "unopened", "mve_filter": "exclude"}
    return [asked for asked in exchange.asked if refused.items() <= dict(asked.query).items()]


def test_a_part_of_the_walk_that_is_refused_keeps_no_other_waiting(exchange):
    rule = partial(listing, [market(1)])
    is_refused = [True]

    def refusing(asked):
        is_unopened = dict(asked.query).get("status") == "unopened"
        return Reply(400, {}) if is_refused[0] and is_unopened else rule(asked)

    exchange.rule = refusing
    with running_registry(exchange.url) as registry:
        registry.wait_for(lambda state: state["active"] == ["KXA-1-T00001"], "the open markets")
        registry.wait_for(lambda _: len(refusals(exchange)) >= 2, "another try")
        # How far it is, and how fast: asked a second later, the rate is known.
        said = "standing still; unopened markets, part 1 of"
        registry.wait_for(lambda state: said in state["why_not_ready"], "the rate")
        assert registry.state()["why_not_ready"].startswith("reading markets: 1 so far")
        is_refused[0] = False
        registry.wait_for(lambda state: state["why_not_ready"] is None, "the initial sync")
        assert walks(exchange) == 1, "only what was refused is read again"


def test_a_name_that_is_refused_keeps_no_other_from_being_read(exchange):
    exchange.rule = partial(listing, [market(1), market(2)])
    with running_registry(exchange.url) as registry:
        registry.wait_for(lambda state: state["why_not_ready"] is None, "the initial sync")
        changed = {"markets": [market(1, title="Another")], "cursor": ""}
        rule = exchange.rule

        def refusing(asked):
            names = dict(asked.query).get("tickers", "")
            return Reply(400, {}) if "T00002" in names else Reply(200, changed) if names else rule(asked)

        exchange.rule = refusing
        for number in (1, 2):
            registry.tell("frame", frame(lifecycle("metadata_updated", f"KXA-1-T0000{number}")))
        registry.wait_for(lambda state: state["rows"]["markets"]["KXA-1-T00001"]["title"] == "Another", "its new title")


IMPOSSIBLE = (
    *(b"1e99999999999999999999", b"-1e-99999999999999999999", b"[" * 200 + b"]" * 200, b'"\\u0000"'),
    *(b"9" * 5_000, b"null", b'{"a": {"b": [1.50, true, null]}}', b'""', b"-1", b'"9999-12-31T23:59:60Z"'),
)
NAMES = ("x", "exchange_index", "close_time", "ticker", "status", "settlement_value_dollars", "updated_time")


def strange_markets():
    for name in NAMES:
        for number, value in enumerate(IMPOSSIBLE):
            fields = {key: text for key, text in market(100 + number).items() if key != name}
            yield b'{"%s": %s, %s' % (name.encode(), value, json.dumps(fields).encode()[1:])


def test_impossible_values_stop_no_walk_and_no_look_by_name(exchange):
    strange = b", ".join(strange_markets())
    page = b'{"markets": [%s, %s], "cursor": ""}' % (strange, json.dumps(market(1)).encode())

    def rule(asked):
        query = dict(asked.query)
        is_list = query.get("status") == "open" and query.get("mve_filter") == "exclude"
        return Reply(200, page) if is_list or "tickers" in query else listing([], asked)

    exchange.rule = rule
    with running_registry(exchange.url) as registry:
        state = registry.wait_for(lambda state: state["why_not_ready"] is None, "the initial sync")
        assert "KXA-1-T00001" in state["active"]
        kept = len(state["quarantined"])
        assert 0 < kept < len(NAMES) * len(IMPOSSIBLE)
        registry.tell("frame", frame(lifecycle("metadata_updated", "KXA-1-T00001")))
        registry.wait_for(lambda state: len(state["quarantined"]) == 2 * kept, "a look by name")


def test_a_series_that_is_refused_keeps_no_event_waiting(exchange):
    event = {"event_ticker": "KXA-1", "series_ticker": "KXA", "title": "An event"}
    rule = partial(listing, [market(1)])

    def refusing(asked):
        if asked.path == f"{PREFIX}/series/KXBAD":
            return Reply(400, {})
        if asked.path == f"{PREFIX}/series/KXA":
            return Reply(200, {"series": {"ticker": "KXA", "title": "A series"}})
        if asked.path == f"{PREFIX}/events":
            bad = {**event, "event_ticker": "KXBAD-1", "series_ticker": "KXBAD"}
            return Reply(200, {"events": [bad, event], "cursor": ""})
        return rule(asked)

    exchange.rule = refusing
    with running_registry(exchange.url) as registry:
        state = registry.wait_for(lambda state: state["why_not_ready"] is None, "the initial sync")
        assert set(state["rows"]["events"]) == {"KXA-1", "KXBAD-1"}
        assert set(state["rows"]["series"]) == {"KXA"}
