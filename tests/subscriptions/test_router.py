"""What becomes of batches: how late they are, what is another event, and since when it is heard."""

from itertools import count

import msgspec
import pytest

from app.kalshi.websocket import FrameBatch
from app.storage.tables import GAPS, SUBSCRIPTIONS
from app.subscriptions.book_subscription import BookSubscription
from app.subscriptions.channel_subscription import ChannelSubscription
from app.subscriptions.journal import Journal
from app.subscriptions.roles import role_of
from app.subscriptions.router import MessageRouter, RouterContext
from tests.normalize import frames

TRADE_CONN, LIFECYCLE_CONN, BOOK_CONN = 3, 5, 7
SENT_MS = frames.SENT_MS
SENT_US = SENT_MS * 1_000
SECOND_US = 1_000_000


class Listener:
    """One connection's journal, subscriber and intake, and what they made."""

    def __init__(self, conn, common=None):
        role = role_of(conn)
        self.common = common or RouterContext()
        self.journal = Journal(1, conn, count(1))
        self.subscriber = (
            BookSubscription(self.journal, 3_600) if role.is_of_books else ChannelSubscription(self.journal, role)
        )
        self.router = MessageRouter(conn, role, self.subscriber, self.common)
        self.subscriber.opened(self.router.stream, 0)

    def hear(self, *frames, at_us=SENT_US):
        taken = self.router.route(FrameBatch(list(frames), at_us))
        return {table.name: rows for table, rows in taken.rows}

    def subscribe(self, at_us=SENT_US, sid=1, now_us=0, **envelope):
        """What it asks for is granted."""
        for number, command in enumerate(self.subscriber.commands(now_us), start=sid):
            asked = msgspec.json.decode(command)
            msg = {"channel": asked["params"]["channels"][0], "sid": number}
            self.hear(encoded(type="subscribed", id=asked["id"], msg=msg, **envelope), at_us=at_us)

    def written(self, table):
        return [row for each, rows in self.journal.take() if each is table for row in rows]


def encoded(**message):
    return msgspec.json.encode(message)


def lifecycle(seq=1, sid=1, sent_ms=SENT_MS, **body):
    msg = {"event_type": "determined", "market_ticker": "A", **body}
    return encoded(type="market_lifecycle_v2", sid=sid, seq=seq, sending_ts_ms=sent_ms, msg=msg)


def trade(seq, at_ms=SENT_MS):
    return frames.frame("trade", {**frames.TRADE, "trade_id": str(seq), "ts_ms": at_ms}, 1, seq, at_ms)


def older_trade(seq, ts):
    msg = {"trade_id": str(seq), "market_ticker": "A", "yes_price": 5, "count": 1, "taker_side": "yes", "ts": ts}
    return encoded(type="trade", sid=1, seq=seq, msg=msg)


def test_an_announcement_tells_how_late_its_socket_is_read():
    listener = Listener(LIFECYCLE_CONN)
    assert len(listener.hear(lifecycle(), at_us=SENT_US + 30_000_000)["lifecycle_events"]) == 1
    assert listener.router.age_us == 30_000_000


def delta(seq, **facts):
    return frames.delta(seq=seq, sid=1, clock=seq, ticker="A", **facts)


@pytest.fixture
def books():
    listener = Listener(BOOK_CONN)
    listener.subscriber.want(["A"])
    listener.subscribe()
    listener.hear(frames.snapshot(seq=1, sid=1, clock=1, ticker="A"))
    return listener


@pytest.mark.parametrize("is_one_batch", [True, False])
def test_a_frame_that_is_replayed_later_is_no_second_event(books, is_one_batch):
    sent = [delta(2), delta(3), delta(4), delta(2), delta(5)]
    batches = [sent] if is_one_batch else [[frame] for frame in sent]
    rows = [row for batch in batches for row in books.hear(*batch).get("orderbook_deltas", ())]
    assert [(row[2], row[5], row[7]) for row in rows] == [(clock, 0, False) for clock in (2, 3, 4, 5)]
    assert books.written(GAPS) == []


def test_a_number_that_comes_again_with_another_content_is_a_loss(books):
    books.hear(delta(2), delta(3))
    rows = books.hear(delta(2, price_e6=10_000))["orderbook_deltas"]
    assert [row[7] for row in rows] == [True]
    assert [gap.cause for gap in books.written(GAPS)] == ["sequence"]


def test_frames_that_are_remembered_are_bounded(books):
    for seq in range(2, 700):
        books.hear(delta(seq))
    large = [[f"0.{price:04}", "1.00"] for price in range(1, 900)]
    book = {"market_ticker": "A", "clock": 700, "yes_dollars_fp": large}
    books.hear(encoded(type="orderbook_snapshot", sid=1, seq=700, msg=book))
    kept = books.router._remembered
    assert len(kept) <= 256
    assert max(map(len, kept)) < 4_097


def test_a_clock_that_goes_back_asks_for_that_book_at_once(books):
    books.hear(delta(900 - 898))
    books.hear(frames.delta(seq=3, sid=1, clock=900, ticker="A"), frames.delta(seq=4, sid=1, clock=3, ticker="A"))
    (command,) = books.subscriber.commands(SECOND_US)
    asked = msgspec.json.decode(command)["params"]
    assert (asked["action"], asked["market_tickers"]) == ("get_snapshot", ["A"])
    assert books.subscriber.commands(SECOND_US) == []


@pytest.mark.parametrize(("first", "causes"), [(1, []), (2, []), (5, ["sequence", "sequence"])])
def test_what_was_sent_before_the_first_trade_and_never_came_is_a_hole(first, causes):
    trades = Listener(TRADE_CONN)
    trades.subscribe(at_us=SENT_US)
    trades.hear(trade(first), at_us=SENT_US + 40_000)
    gaps = trades.written(GAPS)
    assert [gap.cause for gap in gaps] == causes
    assert [(gap.started_us, gap.ended_us) for gap in gaps[1:]] == [(SENT_US, SENT_US + 40_000)] * len(gaps[1:])


def test_a_hole_begins_when_the_last_event_happened_not_when_it_came():
    trades = Listener(TRADE_CONN)
    trades.subscribe(at_us=SENT_US)
    trades.hear(trade(1), at_us=SENT_US + 3 * SECOND_US)
    trades.subscriber.closed(SENT_US + 60 * SECOND_US)
    assert trades.written(GAPS)[-1].started_us == SENT_US


def test_a_hole_begins_no_later_than_the_last_event_came_whatever_time_that_says():
    """One from an hour ahead says nothing of that hour."""
    listener = Listener(TRADE_CONN)
    listener.subscribe()
    listener.hear(trade(1, SENT_MS + 3_600_000), at_us=SENT_US + 5 * SECOND_US)
    listener.subscriber.closed(SENT_US + 9 * SECOND_US)
    assert listener.written(GAPS)[-1].started_us == SENT_US + 5 * SECOND_US


def test_on_the_older_wire_a_hole_begins_with_the_second_of_the_last_event():
    trades = Listener(TRADE_CONN)
    trades.subscribe(at_us=SENT_US)
    second = SENT_MS // 1_000
    trades.hear(older_trade(1, second), at_us=SENT_US + 950_000)
    trades.hear(older_trade(4, second + 1), at_us=SENT_US + 1_400_000)
    assert [gap.started_us for gap in trades.written(GAPS) if gap.ended_us is None] == [second * SECOND_US]


def test_each_channel_of_a_socket_has_holes_that_begin_with_its_own_last_event():
    """One is read half a minute late, and the other as it comes."""
    listener = Listener(LIFECYCLE_CONN)
    listener.subscribe()
    listener.hear(lifecycle(sid=1, seq=1, sent_ms=SENT_MS), at_us=SENT_US + 30 * SECOND_US)
    listener.hear(lifecycle(sid=2, seq=1, sent_ms=SENT_MS + 31_000), at_us=SENT_US + 31 * SECOND_US)
    listener.subscriber.closed(SENT_US + 40 * SECOND_US)
    started = {gap.channel: gap.started_us - SENT_US for gap in listener.written(GAPS)}
    assert started == {"market_lifecycle_v2": 0, "multivariate_market_lifecycle": 31 * SECOND_US}


def test_a_ping_is_no_proof_of_what_came_before_it():
    """The exchange stood still for a minute, and pinged until the socket ended."""
    trades = Listener(TRADE_CONN)
    trades.subscribe(at_us=SENT_US)
    trades.hear(trade(1), at_us=SENT_US)
    trades.subscriber.closed(SENT_US + 60 * SECOND_US)
    assert trades.written(GAPS)[-1].started_us == SENT_US


def test_on_a_quiet_channel_the_exchange_s_list_says_that_nothing_was_lost():
    trades = Listener(TRADE_CONN)
    trades.subscribe(at_us=SENT_US)
    (question,) = trades.subscriber.commands(61 * SECOND_US)
    number = msgspec.json.decode(question)["id"]
    listed = encoded(id=number, type="ok", msg=[{"channel": "trade", "sid": 1}])
    trades.hear(listed, at_us=SENT_US + 61 * SECOND_US)
    trades.subscriber.closed(SENT_US + 70 * SECOND_US)
    assert trades.written(GAPS)[-1].started_us == SENT_US + 49 * SECOND_US


def test_with_a_slow_clock_nothing_is_claimed_before_the_acknowledgement_was_sent():
    trades = Listener(TRADE_CONN)
    trades.subscribe(at_us=SENT_US - 5 * SECOND_US, sending_ts_ms=SENT_MS)
    assert trades.written(SUBSCRIPTIONS)[0].started_us == SENT_US


def test_a_hole_does_not_end_before_the_message_that_shows_it_although_our_clock_was_set_back_meanwhile():
    trades = Listener(TRADE_CONN)
    trades.subscribe(at_us=SENT_US)
    trades.hear(trade(1), at_us=SENT_US)
    trades.hear(trade(5, SENT_MS + 1_000), at_us=SENT_US - 4 * SECOND_US)
    gap = trades.written(GAPS)[-1]
    assert (gap.started_us, gap.ended_us) == (SENT_US, SENT_US + SECOND_US)


def test_a_socket_that_is_told_no_times_knows_the_clocks_by_the_others():
    other = Listener(TRADE_CONN)
    other.subscribe()
    other.hear(trade(1), at_us=SENT_US - 5 * SECOND_US)
    books = Listener(BOOK_CONN, other.common)
    books.subscriber.want(["A"])
    books.subscribe(at_us=SENT_US)
    books.hear(encoded(type="orderbook_snapshot", sid=1, seq=1, msg={"market_ticker": "A"}), at_us=SENT_US)
    assert books.written(SUBSCRIPTIONS)[0].started_us == SENT_US + 5 * SECOND_US


def test_on_the_older_wire_what_begins_is_claimed_later_by_the_part_of_a_second_that_is_not_told():
    """The trade may have happened at the end of its second, and our clock be behind by that much."""
    other = Listener(TRADE_CONN)
    other.subscribe()
    second = SENT_MS // 1_000
    other.hear(older_trade(1, second), at_us=second * SECOND_US + 200_000)
    later = Listener(TRADE_CONN, other.common)
    later.subscribe(at_us=(second + 5) * SECOND_US)
    assert later.written(SUBSCRIPTIONS)[0].started_us == (second + 5) * SECOND_US + 800_000


def test_with_a_fast_clock_a_hole_begins_earlier_also_on_a_socket_that_is_told_no_times():
    other = Listener(TRADE_CONN)
    other.subscribe()
    other.hear(trade(1), at_us=SENT_US + 5 * SECOND_US)
    books = Listener(BOOK_CONN, other.common)
    books.subscriber.want(["A"])
    books.subscribe(at_us=SENT_US + 9 * SECOND_US)
    books.hear(
        encoded(type="orderbook_snapshot", sid=1, seq=1, msg={"market_ticker": "A"}), at_us=SENT_US + 9 * SECOND_US
    )
    books.subscriber.closed(SENT_US + 60 * SECOND_US)
    assert books.written(GAPS)[0].started_us == SENT_US + 4 * SECOND_US


def test_a_disconnect_of_books_is_missed_from_when_the_last_message_was_sent_however_late_it_came(books):
    late_us = 3 * SECOND_US
    books.hear(frames.snapshot(seq=2, sid=1, clock=2, ticker="A", sending_ts_ms=SENT_MS), at_us=SENT_US + late_us)
    books.subscriber.closed(SENT_US + 60 * SECOND_US)
    assert books.written(GAPS)[0].started_us == SENT_US


def test_a_market_that_left_a_dead_socket_as_its_last_one_was_not_heard_until_then(books):
    books.subscriber.unwant(["A"], SENT_US + 30 * SECOND_US)
    books.subscriber.closed(SENT_US + 60 * SECOND_US)
    opened, closed = books.written(GAPS)
    assert opened.started_us <= SENT_US + 100_000
    assert closed.ended_us == SENT_US + 30 * SECOND_US


def test_a_market_that_leaves_while_its_book_is_in_doubt_ends_where_the_doubt_began(books):
    books.subscriber.want(["B"])
    books.subscriber.commands(SECOND_US)
    books.hear(
        frames.snapshot(seq=2, sid=1, clock=1, ticker="B", sending_ts_ms=SENT_MS + 1_000), at_us=SENT_US + SECOND_US
    )
    books.hear(delta(9, ts_ms=SENT_MS + 2_000), at_us=SENT_US + 2 * SECOND_US)
    books.hear(
        frames.snapshot(seq=10, sid=1, clock=10, ticker="A", sending_ts_ms=SENT_MS + 3_000),
        at_us=SENT_US + 3 * SECOND_US,
    )
    books.subscriber.unwant(["B"], SENT_US + 20 * SECOND_US)
    rows = dict(books.journal.take())
    (ended,) = [row for row in rows[SUBSCRIPTIONS] if row.ticker == "B" and row.ended_us is not None]
    assert ended.ended_us <= SENT_US + SECOND_US
    assert rows[GAPS][-1].ended_us == SENT_US + 3 * SECOND_US


@pytest.mark.parametrize("set_us", [-600 * SECOND_US, 600 * SECOND_US])
def test_a_clock_that_is_set_neither_silences_a_socket_nor_makes_it_hasty(set_us):
    """Refused, it asks again after its pause, whatever our clock says meanwhile."""
    trades = Listener(TRADE_CONN)
    (command,) = trades.subscriber.commands(0)
    number = msgspec.json.decode(command)["id"]
    trades.hear(encoded(id=number, type="error", msg={"code": 27}), at_us=SENT_US + set_us)
    assert trades.subscriber.commands(50_000) == []
    assert len(trades.subscriber.commands(150_000)) == 1
