"""The journal of a channel of the whole exchange, against what became of every event, on both wires and with any clock."""

from itertools import count
from typing import NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from app.kalshi.websocket import FrameBatch
from app.storage.tables import GAPS, SUBSCRIPTIONS
from app.subscriptions.channel_subscription import ChannelSubscription
from app.subscriptions.journal import Journal
from app.subscriptions.roles import TRADE
from app.subscriptions.router import MessageRouter, RouterContext
from tests.normalize.frames import NOON_MS

CONN = 3
MS_US, SECOND_US = 1_000, 1_000_000
NOON_US = NOON_MS * MS_US
LONGEST_DELAY_MS = 2_000
# What claims may lack on either side of a loss: what is under way, and on the older wire the rest of a second.
NEAR_US = LONGEST_DELAY_MS * MS_US + 2 * SECOND_US
CONNECT_US = 300_000


class Trade(NamedTuple):
    at_us: int
    number: int

    def time_us(self, is_older):
        """As it is stored."""
        return self.at_us - self.at_us % (SECOND_US if is_older else MS_US)


class Wire:
    """From the exchange to one connection. Time is the exchange's; this host's clock is off by the skew."""

    def __init__(self, skew_us, is_older):
        self.skew_us, self.is_older = skew_us, is_older
        self.now_us = NOON_US
        self.journal = Journal(NOON_US + skew_us, CONN, count(1))
        self.subscriber = ChannelSubscription(self.journal, TRADE)
        self.common = RouterContext()
        self.sids = count(1)
        self.heard, self.lost = [], []
        self.gaps, self.listening = {}, {}
        self.connect()

    def connect(self):
        """Before that, another socket has heard something: the older wire's answers say no time."""
        other = MessageRouter(4, TRADE, ChannelSubscription(Journal(1, 4, count(1)), TRADE), self.common)
        said = self.trade(Trade(self.now_us, 0), sid=1, seq=1)
        other.route(FrameBatch([said], self.now_us + 1_000 + self.skew_us))
        self.seq, self.sid = 0, next(self.sids)
        self.under_way = []
        self.latest_us = self.now_us
        self.router = MessageRouter(CONN, TRADE, self.subscriber, self.common)
        self.subscriber.opened(self.router.stream, self.now_us)
        (command,) = self.subscriber.commands(self.now_us + 10 * SECOND_US)
        answer = {"id": msgspec.json.decode(command)["id"], "msg": {"channel": "trade", "sid": self.sid}}
        self.send({"type": "subscribed", **answer}, 1_000)

    def send(self, message, delay_us, trade=None):
        stamp = {} if self.is_older else {"sending_ts_ms": self.now_us // MS_US}
        self.latest_us = max(self.latest_us, self.now_us + delay_us)
        frame = message if isinstance(message, bytes) else msgspec.json.encode({**message, **stamp})
        self.under_way.append((self.latest_us, frame, trade))

    def trade(self, trade, sid, seq):
        facts = {"trade_id": str(trade.number), "market_ticker": "A", "taker_side": "yes"}
        if self.is_older:
            facts |= {"yes_price": 5, "count": 1, "ts": trade.at_us // SECOND_US}
        else:
            facts |= {"yes_price_dollars": "0.0500", "count_fp": "1.00", "ts_ms": trade.at_us // MS_US}
        stamp = {} if self.is_older else {"sending_ts_ms": trade.at_us // MS_US}
        return msgspec.json.encode({"type": "trade", "sid": sid, "seq": seq, "msg": facts, **stamp})

    def happen(self, number, delay_us, is_dropped):
        trade = Trade(self.now_us, number)
        self.seq += 1
        if is_dropped:
            self.lost.append(trade)
        else:
            self.send(self.trade(trade, self.sid, self.seq), delay_us, trade)

    def pass_time(self, passed_us):
        self.now_us += passed_us
        while self.under_way and self.under_way[0][0] <= self.now_us:
            at_us, frame, trade = self.under_way.pop(0)
            taken = self.router.route(FrameBatch([frame], at_us + self.skew_us))
            assert trade is None or len(taken.rows) == 1
            self.heard += [trade] * (trade is not None)
        self.read_journal()

    def break_off(self, number):
        """What is under way is lost, and what happens until it is there again; the last ping has just come."""
        self.lost += [trade for _, _, trade in self.under_way if trade is not None]
        self.subscriber.closed(self.now_us + self.skew_us)
        self.lost.append(Trade(self.now_us + CONNECT_US // 2, number))
        self.now_us += CONNECT_US
        self.connect()

    def read_journal(self):
        for table, rows in self.journal.take():
            for row in rows:
                if table is GAPS:
                    self.gaps[row.number] = row
                else:
                    assert table is SUBSCRIPTIONS
                    self.listening[row.started_us] = row

    def is_near_a_loss(self, trade):
        """Whether it is among the last that came before one, or came no later than what showed it."""
        near_us = NEAR_US + abs(self.skew_us)
        for lost in self.lost:
            before_us = max((each.at_us for each in self.heard if each.at_us < lost.at_us), default=0)
            shown_us = min((each.at_us for each in self.heard if each.at_us > lost.at_us), default=self.now_us)
            if before_us - near_us <= trade.at_us <= shown_us + near_us:
                return True
        return False

    def is_claimed(self, at_us):
        return any(
            row.started_us <= at_us and (row.ended_us is None or at_us < row.ended_us)
            for row in self.listening.values()
        ) and not any(
            gap.started_us <= at_us and (gap.ended_us is None or at_us < gap.ended_us) for gap in self.gaps.values()
        )


# How long after the one before, how long it takes, and what becomes of it.
events = st.lists(
    st.tuples(
        st.integers(1, 3_000),
        st.integers(1, LONGEST_DELAY_MS),
        st.sampled_from(["heard", "heard", "heard", "heard", "dropped", "broken off"]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=300, deadline=None)
@given(st.integers(-5_000, 5_000), st.booleans(), events)
def test_what_was_lost_is_never_claimed_and_what_was_heard_far_from_it_always(skew_ms, is_older, events):
    wire = Wire(skew_ms * MS_US, is_older)
    wire.pass_time(10 * SECOND_US)
    for number, (passed_ms, delay_ms, fate) in enumerate(events, start=1):
        wire.pass_time(passed_ms * MS_US)
        if fate == "broken off":
            wire.break_off(number)
        else:
            wire.happen(number, delay_ms * MS_US, is_dropped=fate == "dropped")
    # Whatever was lost shows at last.
    wire.pass_time(10 * SECOND_US)
    wire.happen(len(events) + 1, MS_US, is_dropped=False)
    wire.pass_time(10 * SECOND_US)
    claimed = [trade for trade in wire.lost if wire.is_claimed(trade.time_us(is_older))]
    assert claimed == [], (wire.gaps, wire.listening)
    assert all(wire.is_claimed(trade.at_us) for trade in wire.heard if not wire.is_near_a_loss(trade))
