"""Whatever is lost, refused, spoilt, answered twice or late: in the end exactly the wanted markets are listened to, and
what the journal claims to have heard by then is what was delivered."""

from itertools import count

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.kalshi.messages import OrderbookSnapshot
from app.storage.tables import GAPS, SUBSCRIPTIONS
from app.subscriptions.book_subscription import BookSubscription
from app.subscriptions.journal import Journal
from tests.subscriptions.exchange import Socket, Stream

KNOWN = [f"KNOWN-{number}" for number in range(6)]
UNKNOWN = ["UNKNOWN-1", "UNKNOWN-2"]
SECOND_US = 1_000_000
REFUSALS = [1, 5, 11, 18, 27]
NO_LIMIT = 10**9


class Change:
    """One of an order book, at the exchange."""

    def __init__(self, ticker, at_us):
        self.ticker = ticker
        self.at_us = at_us
        self.is_delivered = False


class Books(RuleBasedStateMachine):
    @initialize(
        limit=strategies.sampled_from([NO_LIMIT, NO_LIMIT, 1, 3, 5]),
        grants_first=strategies.booleans(),
        sets_clock_back=strategies.sampled_from([False, False, False, True]),
        wanted=strategies.sampled_from([KNOWN, KNOWN, KNOWN + UNKNOWN, []]),
    )
    def begin(self, limit, grants_first, sets_clock_back, wanted):
        self.limit, self.grants_first, self.sets_clock_back = limit, grants_first, sets_clock_back
        self.now_us = 1_000 * SECOND_US
        self.set_back_us = 0
        self.journal = Journal(self.now_us, 7, count(1))
        self.subscriber = BookSubscription(self.journal, 3_600)
        self.wanted, self.turned_away = set(), set()
        self.subscriptions, self.gaps = {}, {}
        self.snapshots = {}
        self.changes = []
        self.socket = self.stream = None
        self.connect()
        for ticker in wanted:
            self.want(ticker)
        for _ in range(8):
            self.converse()

    def converse(self):
        """Everything is heard on both sides, at once."""
        for command in self.subscriber.commands(self.now_us):
            self.socket.hear(command)
        while self.socket.said:
            self.deliver(self.socket.said.popleft())

    def connect(self):
        self.socket = Socket(set(KNOWN), lambda: self.now_us, self.limit, self.grants_first)
        self.stream = Stream(self.subscriber)
        self.last_sign_us = self.now_us
        self.subscriber.opened(self.stream, self.now_us)

    def deliver(self, said):
        """As a connection does: each message tells when it was sent, of which the journal learns when it was read."""
        self.pass_time()
        lag_us = max(self.now_us - said.said_us, 0)
        message = self.stream.read(said.frame, self.now_us, lag_us)
        self.last_sign_us = self.now_us
        if isinstance(message, OrderbookSnapshot):
            self.snapshots.setdefault(message.msg.market_ticker, set()).add(self.now_us)
        if said.change is not None:
            self.changes[said.change].is_delivered = True
        self.journal.lag_us = lag_us
        self.take_turned_away()

    def take_turned_away(self):
        gone = self.subscriber.take_turned_away()
        assert set(gone) <= self.wanted
        self.wanted.difference_update(gone)
        self.turned_away.update(gone)

    def pass_time(self, seconds=0.0):
        self.now_us += 1 + int(seconds * SECOND_US)

    @rule(ticker=strategies.sampled_from(KNOWN + UNKNOWN))
    def want(self, ticker):
        self.wanted.add(ticker)
        self.turned_away.discard(ticker)
        self.subscriber.want([ticker])

    @rule()
    def want_all(self):
        for ticker in KNOWN:
            self.want(ticker)

    @rule(ticker=strategies.sampled_from(KNOWN + UNKNOWN))
    def unwant(self, ticker):
        self.pass_time()
        self.wanted.discard(ticker)
        self.turned_away.discard(ticker)
        self.subscriber.unwant([ticker], self.now_us)

    @rule(fate=strategies.sampled_from(["hear", "hear", "hear", "lose", *REFUSALS]))
    def command(self, fate):
        self.pass_time()
        for command in self.subscriber.commands(self.now_us):
            if fate == "hear":
                self.socket.hear(command)
            elif fate != "lose":
                self.socket.refuse(command, fate)

    @rule(
        fate=strategies.sampled_from(["deliver", "deliver", "deliver", "drop", "spoil", "twice"]),
        frames=strategies.integers(1, 8),
    )
    def message(self, fate, frames):
        for _ in range(min(frames, len(self.socket.said))):
            said = self.socket.said.popleft()
            if fate == "spoil" and said.change is not None:
                self.deliver(said._replace(frame=said.frame.replace(b'"0.5000"', b"{}"), change=None))
            elif fate != "drop":
                self.deliver(said)
            if fate == "twice":
                self.deliver(said)

    @rule(seconds=strategies.sampled_from([0.1, 1, 12, 40, 400]))
    def wait(self, seconds):
        self.pass_time(seconds)

    @precondition(lambda self: self.sets_clock_back)
    @rule(seconds=strategies.sampled_from([0.5, 3]))
    def clock_is_set_back(self, seconds):
        self.now_us -= int(seconds * SECOND_US)
        self.set_back_us += int(seconds * SECOND_US)

    @rule(tickers=strategies.lists(strategies.sampled_from(KNOWN), min_size=1, max_size=4))
    def change(self, tickers):
        for ticker in tickers:
            self.pass_time()
            self.changes.append(Change(ticker, self.now_us))
            self.socket.change(ticker, len(self.changes) - 1)

    @rule(code=strategies.sampled_from([10, 25]))
    def end_of_subscription(self, code):
        self.socket.end(code)

    @rule()
    def end_nobody_hears_of(self):
        self.socket.forget()

    @rule()
    def ping(self):
        if not self.socket.said:
            self.pass_time()
            self.last_sign_us = self.now_us

    @rule(seconds=strategies.sampled_from([0.1, 30]))
    def reconnect(self, seconds):
        self.pass_time()
        self.subscriber.closed(self.last_sign_us - self.journal.lag_us)
        self.pass_time(seconds)
        self.connect()

    @invariant()
    def journal_is_true(self):
        if self.socket is None:
            return
        for table, rows in self.journal.take():
            for row in rows:
                self.note(table, row)
        listened_to = {key[1] for key, row in self.subscriptions.items() if row.ended_us is None}
        assert {ticker for ticker in KNOWN + UNKNOWN if self.subscriber.receives(ticker)} <= listened_to <= self.wanted
        assert sorted(self.subscriber.tickers()) == sorted(self.wanted)
        assert self.subscriber.wanted == len(self.wanted)
        # What is listened to and not heard, a gap that is not closed tells of.
        assert self.subscriber.in_doubt == 0 or any(gap.ended_us is None for gap in self.gaps.values())

    def note(self, table, row):
        if table is GAPS:
            assert row.ended_us is None or row.started_us <= row.ended_us
            self.gaps[row.number] = row
        else:
            assert table is SUBSCRIPTIONS
            assert row.started_us in self.snapshots[row.ticker]
            self.subscriptions[row.started_us, row.ticker] = row

    def teardown(self):
        if self.socket is None:
            return
        self.come_to_rest()
        # Whatever was turned away and has room now is heard as well.
        room = self.limit - len(self.socket.markets)
        for ticker in sorted(self.turned_away & set(KNOWN))[: max(room, 0)]:
            self.want(ticker)
        self.come_to_rest()
        # Nobody is turned away while there is room. Who was turned away before others left had to be asked for again.
        assert not self.turned_away & set(KNOWN) or len(self.socket.markets) == self.limit
        for ticker in KNOWN:
            self.pass_time()
            self.change([ticker])
        self.come_to_rest()
        self.nothing_is_claimed_that_was_not_delivered()

    def come_to_rest(self):
        for _ in range(220):
            self.pass_time(5)
            self.converse()
        self.journal_is_true()
        wanted = {ticker for ticker in self.wanted if ticker in KNOWN}
        assert set(self.socket.markets) == wanted
        assert {ticker for ticker in KNOWN if self.subscriber.receives(ticker)} == wanted
        assert self.subscriber.received == len(wanted)
        assert all(gap.ended_us is not None for gap in self.gaps.values())

    def nothing_is_claimed_that_was_not_delivered(self):
        for change in self.changes:
            if not change.is_delivered:
                assert not self.is_claimed(change), (change.ticker, change.at_us)

    def is_claimed(self, change):
        """Where our clock was set back, two times have one name: what is nearer to a bound than that is not judged."""
        margin_us, at_us = self.set_back_us, change.at_us
        is_missed = any(gap.started_us - margin_us <= at_us <= gap.ended_us + margin_us for gap in self.gaps.values())
        return not is_missed and any(
            row.started_us + margin_us < at_us and (row.ended_us is None or at_us < row.ended_us - margin_us)
            for (_, ticker), row in self.subscriptions.items()
            if ticker == change.ticker
        )


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
pytestmark = pytest.mark.filterwarnings("default")
