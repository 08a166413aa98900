from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from app.simulator.market.catalog import Catalog
from app.simulator.market.changes import SimDelta, SimLifecycle
from app.simulator.market.exchange import Exchange
from app.simulator.market.kinds import Phase
from tests.simulator.recording import START_US

# A new short-lived market every half minute, and each lives for less.
SECONDS = 100


@pytest.fixture(scope="module")
def exchange():
    return Exchange(Catalog(seed=2, markets=100, start_us=START_US), 500)


@pytest.fixture(scope="module")
def statuses():
    return defaultdict(list)


@pytest.fixture(scope="module")
def changes(exchange, statuses):
    told = []
    for _ in range(SECONDS * 4):
        told += exchange.advance(exchange.now_us + 250_000)
        for index in range(exchange.market_count):
            status = exchange.status(index)
            if not statuses[index] or statuses[index][-1] != status:
                statuses[index].append(status)
    return told


def messages(changes, ticker=None):
    return [change for change in changes if isinstance(change, SimLifecycle) and ticker in (None, change.ticker)]


def test_a_short_run_sees_every_message_and_every_silent_turn(changes):
    seen = {(message.message_type, message.event_type) for message in messages(changes)}
    assert seen >= {
        ("event_lifecycle", ""),
        ("event_fee_update", ""),
        *(
            ("market_lifecycle_v2", event_type)
            for event_type in (
                "created", "activated", "deactivated", "close_date_updated", "determined", "settled",
                "metadata_updated", "price_level_structure_updated",
            )
        ),
        *(
            ("multivariate_market_lifecycle", event_type)
            for event_type in ("created", "activated", "deactivated", "determined", "settled")
        ),
        *(("silent", event_type) for event_type in ("opened", "closed", "disputed", "amended")),
    }  # fmt: skip


def test_a_market_passes_through_all_statuses_in_order(changes, statuses):
    lives = {tuple(seen) for seen in statuses.values()}
    assert ("initialized", "active", "inactive", "active", "closed", "determined", "finalized") in lives
    reopened = ("initialized", "active", "inactive", "active", "closed", "active", "closed", "determined")
    assert any(life[: len(reopened)] == reopened for life in lives)


def test_a_challenged_result_is_disputed_and_amended_before_it_is_paid():
    catalog = Catalog(seed=2, markets=100, start_us=START_US)
    quick = (index for index in range(1_000) if catalog.ticker(index).startswith("KXQUICK"))
    challenged = next(index for index in quick if catalog.plan.turn_us(index, Phase.DISPUTED))
    created_us = catalog.market(challenged).created_us
    seen = dict.fromkeys(catalog.status(challenged, created_us + step * 250_000) for step in range(120))
    assert list(seen) == [
        "initialized",
        "active",
        "inactive",
        "closed",
        "determined",
        "disputed",
        "amended",
        "finalized",
    ]


def test_combos_are_told_on_their_own_channel_alone(changes):
    for message in messages(changes):
        if message.message_type.endswith("lifecycle_v2") or message.message_type.startswith("multivariate"):
            assert message.ticker.startswith("KXMVE") == (message.message_type == "multivariate_market_lifecycle")


def test_an_event_is_told_before_its_markets(changes):
    told = set()
    for message in messages(changes):
        if message.message_type == "event_lifecycle":
            told.add(message.ticker)
        elif message.event_type == "created":
            assert message.payload["additional_metadata"]["event_ticker"] in told


def test_only_open_markets_trade(exchange, changes):
    for delta in changes:
        if isinstance(delta, SimDelta):
            assert exchange.catalog.status(delta.market, delta.at_us) == "active"


def test_all_resting_orders_are_cancelled_when_a_market_resumes(exchange, changes):
    resumed = 0
    for place, message in enumerate(changes):
        if isinstance(message, SimLifecycle) and message.event_type == "activated":
            market = exchange.catalog.index_of(message.ticker)
            cancelled = [
                change
                for change in changes[place + 1 : place + 200]
                if isinstance(change, SimDelta) and (change.market, change.at_us) == (market, message.at_us)
            ]
            assert len({delta.clock for delta in cancelled}) <= 1
            assert all(delta.delta_e2 < 0 for delta in cancelled)
            resumed += bool(cancelled)
    assert resumed


def test_a_moved_close_date_is_known_from_the_moment_it_is_told(exchange, changes):
    moved = [message for message in messages(changes) if message.event_type == "close_date_updated"]
    assert moved
    for message in moved:
        index = exchange.catalog.index_of(message.ticker)
        before = exchange.catalog.market(index, message.at_us - 1).close_us
        after = exchange.catalog.market(index, message.at_us).close_us
        assert before != after
        assert message.payload == {"close_ts": after // 1_000_000}
        statuses = [exchange.catalog.status(index, at_us) for at_us in (after - 1, after)]
        assert statuses == ["active", "closed"]


def test_a_market_that_opens_again_says_its_new_close_date_and_that_it_is_active(changes):
    reopened = [
        earlier
        for earlier, later in pairwise(messages(changes))
        if (earlier.event_type, later.event_type) == ("close_date_updated", "activated")
        and (earlier.at_us, earlier.ticker) == (later.at_us, later.ticker)
    ]
    assert reopened
    for message in reopened:
        assert [said.event_type for said in messages(changes, message.ticker)].count("close_date_updated") == 2


def test_a_pause_may_come_again_in_the_same_words(changes):
    pauses = Counter(message.ticker for message in messages(changes) if message.event_type == "deactivated")
    assert max(pauses.values()) == 2


def test_a_result_is_known_from_its_determination_and_may_be_amended(exchange, changes):
    amended = 0
    for message in messages(changes):
        index = exchange.catalog.index_of(message.ticker)
        if message.event_type == "determined":
            assert exchange.catalog.market(index, message.at_us - 1).result == ""
            result = exchange.catalog.market(index, message.at_us).result
            assert message.payload["result"] == result
            assert message.payload["settlement_value"] == ("1.0000" if result == "yes" else "0.0000")
        if message.event_type == "amended":
            before, after = (
                exchange.catalog.market(index, at_us).result for at_us in (message.at_us - 1, message.at_us)
            )
            assert {before, after} == {"yes", "no"}
            amended += 1
    assert amended


def test_settlement_leaves_an_empty_book_with_a_later_clock():
    exchange = Exchange(Catalog(seed=2, markets=100, start_us=START_US), 500)
    settled = 0
    clocks = {}
    while settled < 3:
        for change in exchange.advance(exchange.now_us + 100_000):
            if isinstance(change, SimDelta):
                clocks[change.market] = change.clock
            if isinstance(change, SimLifecycle) and change.event_type == "settled":
                index = exchange.catalog.index_of(change.ticker)
                book = exchange.book(index)
                assert (book.yes, book.no) == ([], [])
                if index in clocks:
                    assert book.clock >= clocks[index]
                    settled += 1
                assert exchange.quote(index).yes_bid_size_e2 == 0


def test_texts_and_price_steps_change_only_when_that_is_told(exchange, changes):
    told = defaultdict(set)
    for message in messages(changes):
        told[message.ticker].add(message.event_type)
    for index in range(100, exchange.market_count):
        first = exchange.catalog.market(index, exchange.catalog.market(index).created_us)
        now = exchange.catalog.market(index, exchange.now_us)
        assert (first.yes_sub_title != now.yes_sub_title) == ("metadata_updated" in told[now.ticker])
        assert (first.price_ranges != now.price_ranges) == ("price_level_structure_updated" in told[now.ticker])
