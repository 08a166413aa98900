"""The state machine of a market on a socket: its table, and that any sequence of events keeps what must hold."""

from itertools import count

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.storage.tables import SUBSCRIPTIONS
from app.subscriptions.book_markets import (
    RETRY_US,
    SILENCE_US,
    TRANSITIONS,
    UNWANTED_STATES,
    BookMarkets,
    MarketEvent,
    MarketState,
)
from app.subscriptions.journal import Journal

WISHES = {MarketEvent.WANTED, MarketEvent.UNWANTED, MarketEvent.UNWANTED_UNSURE}
# A market that may be subscribed to at the exchange must be deleted, or received, or asked about: never forgotten.
MAY_BE_SUBSCRIBED = set(MarketState) - {MarketState.ABSENT}
TICKERS = [f"KX-{number}" for number in range(5)]
SECOND_US = 1_000_000


def is_wanted(state):
    return state not in UNWANTED_STATES


def reachable(state, events):
    """The states that these events lead to from here, in any order."""
    found, new = {state}, [state]
    while new:
        here = new.pop()
        for event, following in TRANSITIONS[here].items():
            if event in events and following not in found:
                found.add(following)
                new.append(following)
    return found


@pytest.mark.parametrize("state", MarketState)
def test_only_the_registry_decides_what_is_wanted(state):
    changing = {event for event, following in TRANSITIONS[state].items() if is_wanted(state) != is_wanted(following)}
    assert changing <= WISHES
    assert changing == (WISHES - {MarketEvent.WANTED} if is_wanted(state) else {MarketEvent.WANTED})


@pytest.mark.parametrize("state", MarketState)
def test_from_every_state_a_wanted_market_can_be_received_and_an_unwanted_one_ends(state):
    assert MarketState.JOINED in reachable(state, set(MarketEvent))
    unwanted = next(
        (TRANSITIONS[state][event] for event in (MarketEvent.UNWANTED_UNSURE,) if event in TRANSITIONS[state]), state
    )
    assert MarketState.ABSENT in reachable(unwanted, set(MarketEvent) - WISHES)


@pytest.mark.parametrize("state", sorted(MAY_BE_SUBSCRIBED, key=lambda state: state.value))
def test_a_market_that_may_be_subscribed_to_is_forgotten_only_when_the_exchange_has_deleted_it(state):
    forgetting = {event for event, following in TRANSITIONS[state].items() if following is MarketState.ABSENT}
    surely_not_subscribed = {MarketEvent.UNWANTED} if state is MarketState.TO_JOIN else set()
    assert forgetting <= {MarketEvent.DELETED, MarketEvent.SUBSCRIPTION_ENDED} | surely_not_subscribed


@pytest.mark.parametrize("state", MarketState)
def test_the_end_of_a_subscription_leaves_nothing_under_way(state):
    after = TRANSITIONS[state].get(MarketEvent.SUBSCRIPTION_ENDED, state)
    assert after is (MarketState.TO_JOIN if is_wanted(state) else MarketState.ABSENT)


class Markets(RuleBasedStateMachine):
    """Any events in any order, also those that no exchange would send."""

    @initialize()
    def begin(self):
        self.now_us = 1_000 * SECOND_US
        self.journal = Journal(self.now_us, 7, count(1))
        self.markets = BookMarkets(self.journal)
        self.wanted = set()
        self.may_be_subscribed = set()
        self.received = {}
        self.joining_until_us = {}

    def state_of(self, ticker):
        return self.markets.state_of(ticker)

    @rule(ticker=strategies.sampled_from(TICKERS))
    def want(self, ticker):
        self.markets.want(ticker)
        self.wanted.add(ticker)

    @rule(ticker=strategies.sampled_from(TICKERS))
    def unwant(self, ticker):
        self.markets.unwant(ticker, self.now_us)
        self.wanted.discard(ticker)

    @rule(number=strategies.integers(1, 5))
    def request_joining(self, number):
        tickers = self.markets.next_to_join(number, self.now_us)
        assert all(self.state_of(ticker) is MarketState.JOINING for ticker in tickers)
        self.may_be_subscribed.update(tickers)
        self.joining_until_us.update(dict.fromkeys(tickers, self.now_us + SILENCE_US))

    @rule(tickers=strategies.sets(strategies.sampled_from(TICKERS)))
    def joining_is_refused(self, tickers):
        asked = {ticker for ticker in tickers if self.state_of(ticker) is MarketState.JOINING}
        surely_absent = {ticker for ticker in asked if not self.markets._setbacks_of(ticker).may_have_joined}
        self.markets.not_joined(sorted(tickers), may_have_joined=False)
        assert all(self.state_of(ticker) is MarketState.TO_JOIN for ticker in asked)
        self.may_be_subscribed -= surely_absent

    @rule(tickers=strategies.sets(strategies.sampled_from(TICKERS)))
    def joining_is_not_answered(self, tickers):
        self.markets.not_joined(sorted(tickers), may_have_joined=True)

    @rule(ticker=strategies.sampled_from(TICKERS), is_answer=strategies.booleans())
    def snapshot(self, ticker, is_answer):
        before = self.state_of(ticker)
        self.now_us += 1
        # A message brings its own copy of the ticker.
        is_followed = self.markets.snapshot("".join(ticker), self.now_us, is_answer=is_answer)
        assert is_followed == (self.state_of(ticker) is MarketState.JOINED)
        assert not is_answer or self.state_of(ticker) is before
        if not is_answer:
            self.may_be_subscribed.add(ticker)

    @rule(number=strategies.integers(1, 5))
    def request_deletion(self, number):
        waiting = list(self.markets.to_delete)
        assert self.markets.next_to_delete(number) == waiting[:number]

    @rule(tickers=strategies.sets(strategies.sampled_from(TICKERS)))
    def deletion_is_refused(self, tickers):
        self.markets.not_deleted(sorted(tickers))

    @rule(tickers=strategies.sets(strategies.sampled_from(TICKERS)))
    def deletion_is_granted(self, tickers):
        """Of those whose deletion was requested, as the exchange would."""
        states = {ticker: self.state_of(ticker) for ticker in tickers}
        gone = {each for each, state in states.items() if state in (MarketState.LEAVING, MarketState.RETURNING)}
        self.markets.deleted(sorted(gone))
        self.may_be_subscribed -= gone
        for ticker in gone:
            assert self.state_of(ticker) is (MarketState.TO_JOIN if ticker in self.wanted else MarketState.ABSENT)

    @rule(ticker=strategies.sampled_from(TICKERS), granted=strategies.integers(0, 3))
    def refusal_is_noted(self, ticker, granted):
        before = self.markets.granted_when_refused(ticker)
        self.markets.note_refused([ticker], granted)
        expected = None if self.state_of(ticker) is MarketState.ABSENT else granted
        assert self.markets.granted_when_refused(ticker) == (expected if before is None else before)

    @rule(ticker=strategies.sampled_from(TICKERS))
    def no_snapshot_arrived(self, ticker):
        if not self.markets.retry(ticker):
            assert self.state_of(ticker) in (MarketState.JOINING, MarketState.JOINED)
            self.markets.give_up(ticker, self.now_us, self.now_us)
            assert self.state_of(ticker) is MarketState.SILENT

    @rule(ticker=strategies.sampled_from(TICKERS))
    def market_is_refused_for_its_own_sake(self, ticker):
        if is_wanted(self.markets.state_of(ticker)):
            self.markets.give_up(ticker, self.now_us, self.now_us)
            assert ticker not in self.markets.since

    @rule(seconds=strategies.sampled_from([1, 31, 301]))
    def time_passes(self, seconds):
        self.now_us += seconds * SECOND_US
        silent = {ticker for ticker in TICKERS if self.state_of(ticker) is MarketState.SILENT}
        overdue = self.markets.overdue(self.now_us)
        joining = [ticker for ticker in TICKERS if self.state_of(ticker) is MarketState.JOINING]
        assert set(overdue) == {ticker for ticker in joining if self.joining_until_us[ticker] <= self.now_us}
        if seconds * SECOND_US > RETRY_US:
            assert all(self.state_of(ticker) is MarketState.TO_RETURN for ticker in silent)

    @rule()
    def there_is_no_subscription_yet(self):
        self.markets.no_subscription()
        assert all(self.state_of(t) not in (MarketState.TO_RETURN, MarketState.RETURNING) for t in TICKERS)

    @rule()
    def subscription_ends(self):
        before = {ticker: self.state_of(ticker) for ticker in TICKERS}
        self.markets.start_over()
        self.may_be_subscribed.clear()
        for ticker, state in before.items():
            assert self.state_of(ticker) is TRANSITIONS[state].get(MarketEvent.SUBSCRIPTION_ENDED, state)

    @rule()
    def socket_is_full(self):
        waiting = {ticker for ticker in TICKERS if self.state_of(ticker) is MarketState.TO_JOIN}
        assert set(self.markets.turn_away(self.now_us)) == waiting
        self.wanted -= waiting

    @invariant()
    def each_market_is_in_one_queue_at_most_and_in_the_one_of_its_state(self):
        for ticker in TICKERS:
            places = [queue[ticker] for queue in self.markets._queues if ticker in queue]
            assert len(places) <= 1
            state = self.state_of(ticker)
            assert [place.state for place in places] == ([state] if state in self.markets._queue_of else [])
            assert not places or ticker in self.markets._queue_of[state]

    @invariant()
    def what_is_wanted_is_what_the_registry_wanted(self):
        assert {ticker for ticker in TICKERS if is_wanted(self.markets.state_of(ticker))} == self.wanted
        assert sorted(self.markets.tickers()) == sorted(self.wanted)
        assert self.markets.wanted == len(self.wanted)

    @invariant()
    def what_may_be_subscribed_to_is_not_forgotten(self):
        assert all(self.state_of(ticker) in MAY_BE_SUBSCRIBED for ticker in self.may_be_subscribed)

    @invariant()
    def only_wanted_markets_are_received_and_joined_ones_always(self):
        joined = {ticker for ticker in TICKERS if self.state_of(ticker) is MarketState.JOINED}
        assert joined == set(self.markets.joined())
        assert joined <= self.markets.since.keys() <= self.wanted
        assert not any(self.state_of(ticker) is MarketState.SILENT for ticker in self.markets.since)

    @invariant()
    def the_journal_says_what_is_received(self):
        for table, rows in self.journal.take():
            assert table is SUBSCRIPTIONS
            for row in rows:
                assert row.ended_us is None or row.started_us <= row.ended_us
                self.received[row.ticker, row.started_us] = row
        open_rows = {row.ticker: row.started_us for row in self.received.values() if row.ended_us is None}
        assert open_rows == self.markets.since

    @invariant()
    def nothing_is_remembered_of_a_market_that_is_absent(self):
        for ticker in TICKERS:
            if self.state_of(ticker) is MarketState.ABSENT:
                assert ticker not in self.markets._setbacks
                assert ticker not in self.markets._given


TestMarkets = Markets.TestCase
TestMarkets.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
