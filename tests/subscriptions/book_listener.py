"""A book subscription that is told everything at once, by an exchange that refuses what a test says."""

import json
from itertools import count

from app.storage.tables import GAPS, SUBSCRIPTIONS
from app.subscriptions.book_subscription import BookSubscription
from app.subscriptions.journal import Journal
from tests.subscriptions.exchange import Socket, Stream

START_US = 1_000_000_000
SECOND_US = 1_000_000


class Listener:
    """A book subscription on one socket of an exchange that refuses what `refuses` says."""

    def __init__(self, known, limit=10**9, grants_first=False):
        self.now_us = START_US
        self.journal = Journal(self.now_us, 7, count(1))
        self.subscriber = BookSubscription(self.journal, 3_600)
        self.stream = Stream(self.subscriber)
        self.socket = Socket(set(known), lambda: self.now_us, limit, grants_first)
        self.subscriber.opened(self.stream, self.now_us)
        self.refuses = lambda _: None
        self.commands = []
        self._gaps, self._listenings = {}, {}

    def run(self, seconds, until=lambda: False):
        end_us = self.now_us + int(seconds * SECOND_US)
        while self.now_us < end_us and not until():
            self.now_us += SECOND_US // 50
            self.exchange()
        return self

    def exchange(self):
        """Commands and answers, until nobody has anything to say at this moment."""
        while commands := self.subscriber.commands(self.now_us):
            for command in commands:
                body = json.loads(command)
                self.commands.append(body)
                code = self.refuses(body)
                if code is None:
                    self.socket.hear(command)
                else:
                    self.socket.refuse(command, code)
            while self.socket.said:
                self.stream.read(self.socket.said.popleft().frame, self.now_us)

    def want(self, tickers, seconds=1):
        self.subscriber.want(list(tickers))
        return self.run(seconds)

    def deliver(self, said):
        self.stream.read(said.frame, self.now_us, self.now_us - said.said_us)

    def change(self, ticker, seconds=1, under_way_us=0):
        """Something happens, and is heard of at once, or when the word of it was under way. Return when it happened."""
        self.now_us += seconds * SECOND_US
        self.socket.change(ticker, 1)
        said = self.socket.said.popleft()
        self.now_us += under_way_us
        self.deliver(said)
        return said.said_us

    def lose_a_change(self, ticker, seconds=1):
        self.now_us += seconds * SECOND_US
        self.socket.change(ticker, 1)
        self.socket.said.popleft()

    def gaps(self):
        """As they were last written."""
        self._take()
        return list(self._gaps.values())

    def listenings(self, ticker):
        self._take()
        return [row for row in self._listenings.values() if row.ticker == ticker]

    def _take(self):
        for table, rows in self.journal.take():
            for row in rows:
                if table is GAPS:
                    self._gaps[row.number] = row
                else:
                    assert table is SUBSCRIPTIONS
                    self._listenings[row.started_us, row.ticker] = row

    def said(self, action):
        return [body for body in self.commands if body["cmd"] == action or action_of(body) == action]


def action_of(body):
    return body.get("params", {}).get("action")


def tickers_of(body):
    return body.get("params", {}).get("market_tickers", [])
