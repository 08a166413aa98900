from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kalshi.messages import decode
from app.markets.lifecycle import announcement_of
from app.markets.market import STATUSES, Market, is_to_be_recorded
from app.markets.registry import VANISHING_US, Markets
from tests.markets.build import DAY_US, MINUTE_US, NOW_US, SECOND_US, frame, lifecycle, market

TICKERS = ("KXA-1-T1", "KXA-1-T2", "KXB-1")


def told(event_type, ticker="KXA-1-T1", **facts):
    return announcement_of(decode(frame(lifecycle(event_type, ticker, **facts))))


def turns(markets, now_us):
    return list(iter(lambda: markets.next_clock_change(now_us), None))


def test_a_market_opens_and_closes_by_the_clock():
    markets = Markets()
    opening, closing = NOW_US + 10 * MINUTE_US, NOW_US + 20 * MINUTE_US
    shown = markets.apply_rest(market(status="initialized", open_us=opening, close_us=closing), 1, NOW_US)
    assert (shown.change.event_type, shown.change.is_to_be_recorded) == ("created", False)
    seen = [
        [(change.old_status, change.new_status, change.is_to_be_recorded) for change in turns(markets, at_us)]
        for at_us in (opening - 5 * MINUTE_US - 1, opening - 5 * MINUTE_US, opening, closing, closing + 10 * MINUTE_US)
    ]
    assert seen == [
        [],
        [("initialized", "initialized", True)],
        [("initialized", "active", True)],
        [("active", "closed", True)],
        [("closed", "closed", False)],
    ]


def test_that_a_market_is_about_to_close_is_told_once():
    markets = Markets()
    closing = NOW_US + 20 * MINUTE_US
    markets.apply_rest(market(status="active", close_us=closing), 1, NOW_US)
    seen = [change for second in range(60, 0, -1) for change in turns(markets, closing - second * 1_000_000)]
    assert [(change.event_type, change.is_to_be_recorded) for change in seen] == [("closing", True)]
    assert [change.new_status for change in turns(markets, closing)] == ["closed"]


def test_a_page_that_was_cached_does_not_undo_an_opening():
    markets = Markets()
    before_opening = market(status="initialized", open_us=NOW_US)
    markets.apply_rest(before_opening, 1, NOW_US - MINUTE_US)
    turns(markets, NOW_US)
    assert markets.apply_rest(before_opening, 1, NOW_US + 10 * SECOND_US).change is None
    assert markets.get("KXA-1-T1").status == "active"


def test_what_rest_still_shows_long_after_an_opening_is_believed():
    markets = Markets()
    late = market(status="initialized", open_us=NOW_US)
    markets.apply_rest(late, 1, NOW_US - MINUTE_US)
    turns(markets, NOW_US)
    markets.apply_rest(late, 1, NOW_US + 2 * MINUTE_US)
    assert markets.get("KXA-1-T1").status == "initialized"


def test_only_another_content_is_news():
    markets = Markets()
    assert [markets.apply_rest(market(), digest, NOW_US).is_news for digest in (7, 7, 8)] == [True, False, True]


def test_an_announcement_that_comes_twice_changes_once():
    markets = Markets()
    markets.apply_rest(market(), 1, NOW_US)
    changes = [markets.apply_announcement(told("determined", result="yes"), NOW_US) for _ in range(2)]
    assert changes[0].new_status == "determined"
    assert changes[1] is None


def test_a_resumption_that_comes_after_the_closing_opens_nothing():
    markets = Markets()
    markets.apply_rest(market(close_us=NOW_US), 1, NOW_US - MINUTE_US)
    turns(markets, NOW_US)
    assert markets.apply_announcement(told("activated"), NOW_US + SECOND_US) is None
    assert markets.get("KXA-1-T1").status == "closed"


def test_a_settled_market_is_told_without_its_facts_and_let_go_of_a_day_later():
    markets = Markets()
    markets.apply_rest(market(status="determined"), 1, NOW_US)
    change = markets.apply_announcement(told("settled"), NOW_US)
    assert (change.event_type, change.new_status, change.market) == ("settled", "finalized", None)
    markets.apply_rest(market(status="finalized"), 2, NOW_US)
    markets.sweep(range(markets.slots), settled_before_us=NOW_US)
    assert len(markets) == 1
    markets.sweep(range(markets.slots), settled_before_us=NOW_US + 1)
    assert (len(markets), sum(markets.counts.values())) == (0, 0)
    markets.apply_rest(market("KXNEXT-1"), 1, NOW_US + DAY_US)
    assert markets.slots == 1


def test_a_walk_finds_those_that_no_page_showed():
    markets = Markets()
    for ticker in TICKERS:
        markets.apply_rest(market(ticker), 1, NOW_US)
    markets.begin_walk()
    markets.apply_rest(market(TICKERS[0]), 1, NOW_US)
    assert markets.sweep(range(markets.slots), 0) == list(TICKERS[1:])


def test_a_market_that_was_missing_for_long_is_forgotten_and_ends_then():
    markets = Markets()
    markets.apply_rest(market(close_us=NOW_US + 40 * DAY_US, result=""), 1, NOW_US)
    first_us, second_us = NOW_US + MINUTE_US, NOW_US + MINUTE_US + VANISHING_US
    assert markets.vanish("KXA-1-T1", first_us) is None
    assert markets.vanish("KXA-1-T1", second_us - 1) is None
    vanished = markets.vanish("KXA-1-T1", second_us)
    assert (vanished.market.status, vanished.market.close_us) == ("closed", second_us)
    change = vanished.change
    assert (change.old_status, change.new_status, change.is_to_be_recorded) == ("active", None, False)
    assert (markets.get("KXA-1-T1"), list(markets.active)) == (None, [])


def test_one_answer_without_a_market_ends_nothing_when_the_next_one_has_it():
    markets = Markets()
    markets.apply_rest(market(), 1, NOW_US)
    markets.vanish("KXA-1-T1", NOW_US + MINUTE_US)
    markets.apply_rest(market(), 1, NOW_US + 20 * MINUTE_US)
    assert markets.vanish("KXA-1-T1", NOW_US + 30 * MINUTE_US) is None
    assert list(markets.active) == ["KXA-1-T1"]


def test_a_market_of_which_something_just_happened_is_not_missing():
    markets = Markets()
    markets.apply_rest(market(), 1, NOW_US)
    markets.vanish("KXA-1-T1", NOW_US)
    markets.apply_announcement(told("deactivated"), NOW_US + VANISHING_US)
    assert markets.vanish("KXA-1-T1", NOW_US + VANISHING_US + 1) is None


@pytest.mark.parametrize("status", ["determined", "disputed", "amended"])
def test_what_was_decided_stays_decided_when_the_market_is_no_more(status):
    markets = Markets()
    markets.apply_rest(market(status=status, result="no", close_us=NOW_US - MINUTE_US), 1, NOW_US)
    markets.vanish("KXA-1-T1", NOW_US)
    ended = markets.vanish("KXA-1-T1", NOW_US + VANISHING_US).market
    assert (ended.status, ended.result, ended.close_us) == (status, "no", NOW_US - MINUTE_US)


def test_a_settlement_that_only_the_stream_told_of_is_asked_for_and_ends_once():
    markets = Markets()
    markets.apply_rest(market(close_us=NOW_US + 40 * DAY_US), 1, NOW_US)
    markets.apply_announcement(told("determined", result="no", determination_ts=NOW_US // SECOND_US), NOW_US)
    markets.apply_announcement(told("settled"), NOW_US + SECOND_US)
    markets.begin_walk()
    assert markets.sweep(range(markets.slots), 0) == ["KXA-1-T1"]
    vanished = markets.vanish("KXA-1-T1", NOW_US + SECOND_US)
    assert (vanished.market.status, vanished.market.result) == ("finalized", "no")
    assert (vanished.market.close_us, vanished.change) == (NOW_US, None)
    assert markets.vanish("KXA-1-T1", NOW_US + 2 * SECOND_US) is None
    assert markets.sweep(range(markets.slots), 0) == []
    # A late copy of an earlier announcement meets a market that is known to be over.
    assert (
        markets.apply_announcement(told("created", open_ts=1, additional_metadata={"event_ticker": "KXA-1"}), NOW_US)
        is None
    )
    assert markets.get("KXA-1-T1").status == "finalized"


def test_a_settlement_that_rest_shows_too_is_not_asked_for_again():
    markets = Markets()
    markets.apply_rest(market(), 1, NOW_US)
    markets.apply_announcement(told("settled"), NOW_US)
    markets.apply_rest(market(status="finalized"), 2, NOW_US + SECOND_US)
    markets.begin_walk()
    assert markets.sweep(range(markets.slots), 0) == []
    assert markets.vanish("KXA-1-T1", NOW_US + DAY_US) is None


class Recalled(NamedTuple):
    """A market as an earlier run stored it."""

    market: Market


minutes = st.none() | st.integers(-30, 30).map(lambda minute: NOW_US + minute * MINUTE_US)
shown_markets = st.builds(
    market, ticker=st.sampled_from(TICKERS), status=st.sampled_from(STATUSES), open_us=minutes, close_us=minutes
)
announcements = st.builds(
    told,
    st.sampled_from(["created", "activated", "deactivated", "close_date_updated", "determined", "settled"]),
    st.sampled_from(TICKERS),
    open_ts=st.integers(NOW_US // SECOND_US - 3_600, NOW_US // SECOND_US + 3_600),
    close_ts=st.integers(NOW_US // SECOND_US - 3_600, NOW_US // SECOND_US + 3_600),
    additional_metadata=st.just({"event_ticker": "KXA-1"}),
)
recalled_markets = shown_markets.map(Recalled)
steps = st.lists(st.tuples(st.integers(0, 600), st.one_of(recalled_markets, shown_markets, announcements, st.none())))


@given(steps, st.lists(shown_markets, min_size=len(TICKERS), max_size=len(TICKERS)))
def test_whatever_came_before_the_last_word_is_rest_s(steps, truths):
    markets, now_us, known = Markets(), NOW_US, {}
    for seconds, step in steps:
        now_us += seconds * SECOND_US
        for change in take(markets, step, now_us):
            known[change.ticker] = change
    # So late that no moment of theirs is recent: REST cannot be behind the clock.
    now_us += DAY_US
    truths = [truth._replace(ticker=ticker) for ticker, truth in zip(TICKERS, truths, strict=True)]
    for truth in truths:
        change = markets.apply_rest(truth, 1, now_us).change
        known[truth.ticker] = change or known.get(truth.ticker)
    assert [markets.get(truth.ticker)._replace(trading_status="unknown") for truth in truths] == truths
    assert list(markets.active) == [truth.ticker for truth in truths if truth.status == "active"]
    assert markets.counts == {status: [truth.status for truth in truths].count(status) for status in STATUSES}
    # Who only listened to changes knows the same.
    for truth in truths:
        heard = known[truth.ticker]
        if heard is None:
            assert truth.status == "finalized"  # and so when it was met: there is nothing to follow
            continue
        assert (heard.new_status, heard.is_to_be_recorded) == (truth.status, is_to_be_recorded(truth, now_us))


def take(markets, step, now_us):
    if isinstance(step, Recalled):
        is_known = markets.knows(step.market.ticker)
        change = None if is_known else markets.recall(step.market, now_us)
        return [change] if change else []
    if step is None:
        return turns(markets, now_us)
    change = (
        markets.apply_rest(step, 0, now_us).change
        if hasattr(step, "open_us")
        else markets.apply_announcement(step, now_us)
    )
    return [] if change is None else [change]
