"""Whatever is lost, refused, answered twice or late: in the end exactly the wanted markets are listened to."""

from itertools import count

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.store.journal_tables import GAPS, SUBSCRIPTIONS
from app.subscriptions.books import BookSubscription
from app.subscriptions.journal import Journal
from tests.subscriptions.exchange import Socket, Stream

KNOWN = [f"KNOWN-{number}" for number in range(6)]
UNKNOWN = ["UNKNOWN-1", "UNKNOWN-2"]
SECOND_US = 1_000_000
REFUSALS = [5, 11, 18, 27]


class Books(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.now_us = 1_000 * SECOND_US
        self.journal = Journal(self.now_us, 7, count(1))
        self.subscriber = BookSubscription(self.journal, 3_600)
        self.wanted = set()
        self.subscriptions, self.gaps = {}, {}
        self.snapshots = {}
        self.socket = self.stream = None
        self.connect()

    def connect(self):
        self.socket, self.stream = Socket(set(KNOWN)), Stream(self.subscriber)
        self.subscriber.opened(self.stream, self.now_us)

    def deliver(self, frame):
        message = self.stream.read(frame, self.now_us)
        if type(message).__name__ == "OrderbookSnapshot":
            self.snapshots.setdefault(message.msg.market_ticker, set()).add(self.now_us)

    @rule(ticker=strategies.sampled_from(KNOWN + UNKNOWN))
    def want(self, ticker):
        self.wanted.add(ticker)
        self.subscriber.want([ticker])

    @rule(ticker=strategies.sampled_from(KNOWN + UNKNOWN))
    def unwant(self, ticker):
        self.wanted.discard(ticker)
        self.subscriber.unwant([ticker], self.now_us)

    @rule(fate=strategies.sampled_from(["hear", "hear", "hear", "lose", *REFUSALS]))
    def command(self, fate):
        for command in self.subscriber.commands(self.now_us):
            if fate == "hear":
                self.socket.hear(command)
            elif fate != "lose":
                self.socket.refuse(command, fate)

    @rule(
        fate=strategies.sampled_from(["deliver", "deliver", "deliver", "drop", "twice"]),
        frames=strategies.integers(1, 8),
    )
    def message(self, fate, frames):
        for _ in range(min(frames, len(self.socket.said))):
            frame = self.socket.said.popleft()
            if fate != "drop":
                self.deliver(frame)
            if fate == "twice":
                self.deliver(frame)

    @rule(seconds=strategies.sampled_from([0.1, 1, 12, 40, 400]))
    def wait(self, seconds):
        self.now_us += int(seconds * SECOND_US)

    @rule(ticker=strategies.sampled_from(KNOWN))
    def change(self, ticker):
        self.socket.change(ticker)

    @rule(code=strategies.sampled_from([10, 25]))
    def end_of_subscription(self, code):
        self.socket.end(code)

    @rule()
    def end_nobody_hears_of(self):
        self.socket.forget()

    @rule()
    def reconnect(self):
        self.subscriber.closed(self.now_us)
        self.now_us += SECOND_US
        self.connect()

    @invariant()
    def journal_is_true(self):
        if self.socket is None:
            return
        for table, rows in self.journal.take():
            for row in rows:
                self.note(table, row)
        listened_to = {key[1] for key, row in self.subscriptions.items() if row.ended_us is None}
        assert {ticker for ticker in KNOWN + UNKNOWN if self.subscriber.hears(ticker)} <= listened_to <= self.wanted
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
        for _ in range(1_000):
            self.now_us += SECOND_US
            for command in self.subscriber.commands(self.now_us):
                self.socket.hear(command)
            while self.socket.said:
                self.deliver(self.socket.said.popleft())
            self.journal_is_true()
        wanted = {ticker for ticker in self.wanted if ticker in KNOWN}
        assert set(self.socket.markets) == wanted
        assert {ticker for ticker in KNOWN if self.subscriber.hears(ticker)} == wanted
        assert self.subscriber.heard == len(wanted)
        assert all(gap.ended_us is not None for gap in self.gaps.values())


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
pytestmark = pytest.mark.filterwarnings("default")
