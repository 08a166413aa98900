"""Every fault does what it says, on the connection that it was meant for."""

import contextlib
import itertools
import json
from collections import Counter

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from app.simulator.truth import SENT_AS, SNAPSHOT_BIT, VALUE_SHIFT, TruthReader
from tests.processes import wait_until
from tests.simulator.running import Client

RATE = 300


class Pair:
    """Two clients with the same subscription, of which the first is to suffer."""

    def __init__(self, simulator, connections):
        self.simulator = simulator
        self.ill, self.well = map(Client, connections)
        self.tickers = simulator.tickers(status="open")
        for client in (self.ill, self.well):
            client.ask("subscribe", channels=["orderbook_delta", "trade"], market_tickers=self.tickers)
            client.wait_for(
                lambda _, client=client: len(client.of_type("orderbook_snapshot")) == len(self.tickers), "books"
            )

        self.ordinal = self.ordinals()[-2]

    def ordinals(self):
        return sorted(each["ordinal"] for each in self.simulator.state()["connections"])

    def inflict(self, fault, **details):
        inflicted = self.simulator.inflict(fault, connections=[self.ordinal], **details)
        assert inflicted["connections"] == [self.ordinal]
        return inflicted["fault_id"]

    def taken(self, fault_id):
        (ill,) = (each for each in self.simulator.state()["connections"] if each["ordinal"] == self.ordinal)
        return ill["tampered_frames"].get(str(fault_id), 0)


@pytest.fixture
def pair(simulator):
    with simulator.connect() as ill, simulator.connect() as well:
        yield Pair(simulator, [ill, well])
        # Stopped to compare what both have seen.
        simulator.go_on()


def raw_until(client, condition, what):
    """Frames as they come, valid or not."""
    seen = []
    for _ in range(5_000):
        seen.append(client.connection.recv(10, decode=False))
        if condition(seen[-1]):
            return seen
    raise AssertionError(f"waited for {what}")


def gaps(messages, sid):
    numbers = [each["seq"] for each in messages if each.get("sid") == sid and "seq" in each]
    return [(before, after) for before, after in itertools.pairwise(numbers) if after != before + 1]


def test_drop_leaves_a_gap_in_one_sid_of_one_connection(pair):
    fault = pair.inflict("drop", channels=["orderbook_delta"], count=3)
    pair.ill.wait_for(lambda _: gaps(pair.ill.seen, 1), "a gap")
    (before, after), *others = gaps(pair.ill.seen, 1)
    assert after == before + 4
    assert not others
    assert not gaps(pair.ill.seen, 2)
    pair.well.drain()
    assert not gaps(pair.well.seen, 1)
    assert pair.taken(fault) == 3


def test_lose_leaves_no_gap(pair):
    fault = pair.inflict("lose", channels=["trade"], count=2)
    wait_until(lambda: pair.taken(fault) == 2, what="two lost trades")
    pair.simulator.stop_the_clock()
    pair.ill.drain()
    pair.well.drain()
    assert not gaps(pair.ill.seen, 2)
    ill, well = ({each["msg"]["trade_id"] for each in client.of_type("trade")} for client in (pair.ill, pair.well))
    assert len(well - ill) >= 2


def test_one_of_every_four_can_be_lost(pair):
    fault = pair.inflict("lose", types=["orderbook_delta"], count=0, every=4)
    wait_until(lambda: pair.taken(fault) > 20, what="lost changes")
    pair.simulator.stop_the_clock()
    pair.ill.drain()
    pair.well.drain()
    ill, well = (
        Counter(json.dumps(each["msg"]) for each in client.of_type("orderbook_delta"))
        for client in (pair.ill, pair.well)
    )
    lost = pair.taken(fault)
    assert (well - ill).total() == lost
    assert well.total() >= 4 * lost - 3


def test_a_lifecycle_message_is_lost_on_one_connection_alone(start):
    simulator = start("--markets", "100", "--rate", "0", "--speed", "20")
    with simulator.connect() as ill, simulator.connect(key=1) as well:
        clients = [Client(ill), Client(well)]
        for client in clients:
            client.ask("subscribe", channels=["market_lifecycle_v2"])
        key = simulator.where["keys"][0]["key_id"]
        simulator.inflict("lose", keys=[key], types=["market_lifecycle_v2"], count=1)
        clients[1].wait_for(lambda _: len(clients[1].of_type("market_lifecycle_v2")) > 20, "turns")
        simulator.stop_the_clock()
        for client in clients:
            client.drain()
    said = [[each["msg"] for each in client.of_type("market_lifecycle_v2")] for client in clients]
    assert len([each for each in said[1] if each not in said[0]]) == 1
    assert not gaps(clients[0].seen, 1)


def test_duplicate_sends_the_same_frame_twice(pair):
    pair.inflict("duplicate", types=["orderbook_delta"])
    pair.ill.wait_for(lambda _: gaps(pair.ill.seen, 1), "a repeated seq")
    ((before, after),) = gaps(pair.ill.seen, 1)
    assert before == after
    assert len([each for each in pair.ill.seen if pair.ill.seen.count(each) == 2]) == 2


def test_reorder_swaps_two_frames(pair):
    pair.inflict("reorder", types=["orderbook_delta"])
    pair.ill.wait_for(lambda _: len(gaps(pair.ill.seen, 1)) == 3, "two swapped numbers")
    first = gaps(pair.ill.seen, 1)[0][0]
    numbers = [each["seq"] for each in pair.ill.seen if each.get("sid") == 1 and "seq" in each]
    place = numbers.index(first)
    assert numbers[place : place + 4] == [first, first + 2, first + 1, first + 3]


@pytest.mark.parametrize("how", ["bytes", "json"])
def test_corrupt_frames_cannot_be_read(pair, how):
    pair.inflict("corrupt", how=how, types=["orderbook_delta"])
    frames = iter(lambda: pair.ill.connection.recv(10, decode=False), None)
    with pytest.raises((UnicodeDecodeError, json.JSONDecodeError)):
        all(json.loads(frame.decode()) for frame in frames)


def test_corrupt_values_can_be_read_and_are_not_true(pair):
    fault = pair.inflict("corrupt", how="value", types=["trade"])
    wait_until(lambda: pair.taken(fault), what="an altered trade")
    pair.simulator.stop_the_clock()
    pair.ill.drain()
    pair.well.drain()
    true = [each["msg"] for each in pair.well.of_type("trade")]
    assert len([each for each in pair.ill.of_type("trade") if each["msg"] not in true and each["seq"] > 0]) >= 1


def test_truncated_frames_end_early(pair):
    pair.inflict("truncate", types=["orderbook_delta"])
    seen = raw_until(pair.ill, lambda frame: not frame.endswith(b"}"), "half a frame")
    assert seen[-1].startswith(b'{"type":"orderbook_delta"')


def test_untimed_deltas_carry_no_time(pair):
    fault = pair.inflict("untimed", count=0)
    pair.ill.wait_for(lambda each: each["type"] == "orderbook_delta" and "ts_ms" not in each["msg"], "no time")
    assert pair.simulator.lift(fault) == 204
    pair.simulator.stop_the_clock()
    pair.ill.drain()
    pair.well.drain()
    pair.simulator.go_on()
    assert "ts" not in next(each for each in pair.ill.of_type("orderbook_delta") if "ts_ms" not in each["msg"])["msg"]
    assert all("ts_ms" in each["msg"] for each in pair.well.of_type("orderbook_delta"))
    assert "ts_ms" in pair.ill.wait_for_type("orderbook_delta")["msg"]


@pytest.mark.parametrize("code", [10, 25])
def test_a_subscription_ends_with_an_error(pair, code):
    pair.inflict("subscription_error", code=code, channels=["orderbook_delta"])
    error = pair.ill.wait_for_type("error")
    assert (error["sid"], error["msg"]["code"]) == (1, code)
    assert [each["channel"] for each in pair.ill.ask("list_subscriptions")["msg"]] == ["trade"]
    assert len(pair.well.ask("list_subscriptions")["msg"]) == 2


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 4000])
def test_close_with_any_code(pair, code):
    pair.inflict("close", code=code, reason="because")
    with pytest.raises(ConnectionClosed) as closed:
        raw_until(pair.ill, lambda _: False, "the end")
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, "because")
    assert pair.well.ask("list_subscriptions")


@pytest.mark.parametrize("fault", ["reset", "cut"])
def test_the_connection_breaks_without_a_close(pair, fault):
    pair.inflict(fault)
    with pytest.raises(ConnectionClosed) as closed:
        raw_until(pair.ill, lambda _: False, "the end")
    assert closed.value.rcvd is None
    assert pair.well.ask("list_subscriptions")
    wait_until(lambda: pair.ordinal not in pair.ordinals(), what="one connection less")


def test_half_open_connections_stay_and_say_nothing(pair):
    pair.inflict("half_open")
    with contextlib.suppress(TimeoutError):
        while True:
            pair.ill.receive(timeout=1)
    pair.ill.send("list_subscriptions")
    with pytest.raises(TimeoutError):
        pair.ill.receive(timeout=1)
    assert pair.well.ask("list_subscriptions")
    assert pair.ordinal in pair.ordinals()


def test_a_stalled_connection_goes_on_with_all_that_had_to_wait(pair):
    pair.inflict("stall", seconds=1)
    pair.well.wait_for(lambda _: len(pair.well.of_type("orderbook_delta")) > RATE, "a second's deltas")
    pair.ill.wait_for(lambda _: len(pair.ill.of_type("orderbook_delta")) > RATE, "the same here")
    assert not gaps(pair.ill.seen, 1)


def test_refused_connections(simulator):
    reset = simulator.inflict("refuse", seconds=60)["fault_id"]
    with pytest.raises((InvalidHandshake, ConnectionClosed, OSError, EOFError)):
        simulator.connect()
    simulator.lift(reset)
    answered = simulator.inflict("refuse", seconds=60, status=503)["fault_id"]
    with pytest.raises(InvalidStatus) as refused:
        simulator.connect()
    assert refused.value.response.status_code == 503
    simulator.lift(answered)
    with simulator.connect():
        pass


def test_maintenance_closes_everything_and_restarts_the_clocks(start):
    simulator = start("--markets", "100", "--rate", str(RATE), "--speed", "2", "--tier", "unlimited")
    tickers = simulator.tickers(status="open")
    with simulator.connect() as connection:
        before = clocks(Client(connection), tickers)
        simulator.inflict("maintenance", seconds=3)
        with pytest.raises(ConnectionClosed) as closed:
            raw_until(Client(connection), lambda _: False, "the end")
        assert closed.value.rcvd.code == 1001
    status = simulator.rest("/exchange/status")
    assert (status.status, status.body["exchange_active"], status.body["trading_active"]) == (503, False, False)
    assert simulator.rest("/markets").status == 503
    with pytest.raises(InvalidStatus):
        simulator.connect()
    wait_until(lambda: simulator.rest("/exchange/status").status == 200, what="the end of maintenance")
    with simulator.connect() as connection:
        after = clocks(Client(connection), tickers)
    assert max(after.values()) < max(before.values())


def clocks(client, tickers):
    client.ask("subscribe", channels=["orderbook_delta"], market_tickers=tickers)
    client.wait_for(lambda _: len(client.of_type("orderbook_snapshot")) == len(tickers), "books")
    return {each["msg"]["market_ticker"]: each["msg"]["clock"] for each in client.of_type("orderbook_snapshot")}


def test_a_halt_stops_trading_and_shows_in_the_status(start):
    simulator = start("--markets", "100", "--rate", str(RATE))
    fault = simulator.inflict("halt", seconds=1.5)
    assert fault["connections"] == []
    assert simulator.rest("/exchange/status").body["trading_active"] is False
    wait_until(lambda: simulator.rest("/exchange/status").body["trading_active"], what="trading")


def test_rest_errors_delays_and_too_many_requests(simulator):
    simulator.inflict("rest_error", status=429, path="/trade-api/v2/markets", count=2)
    assert simulator.rest("/series").status == 200
    for _ in range(2):
        answer = simulator.rest("/markets")
        assert (answer.status, answer.body["error"]["code"]) == (429, "too_many_requests")
        assert "retry-after" not in {name.lower() for name in answer.headers}
    assert simulator.rest("/markets").status == 200
    simulator.inflict("rest_error", status=500)
    assert simulator.rest("/markets").status == 500
    simulator.inflict("rest_delay", delay_seconds=0.3)
    assert simulator.rest("/markets").status == 200


def test_what_is_no_fault_is_refused_with_the_reason(simulator):
    for mistake in ({"fault": "earthquake"}, {"fault": "stall"}, {"fault": "drop", "cuont": 3}, {}):
        answer = simulator.control("/faults", "POST", mistake)
        assert answer.status == 400
        assert answer.body["message"]
    assert simulator.lift(999) == 404


def test_a_frame_fault_waits_for_later_connections(simulator):
    key = simulator.where["keys"][1]["key_id"]
    assert simulator.inflict("truncate", keys=[key], types=["orderbook_snapshot"])["connections"] == []
    tickers = simulator.tickers(status="open")[:3]
    for number, ends in ((0, b"}"), (1, b"")):
        with simulator.connect(key=number) as connection:
            client = Client(connection)
            client.send("subscribe", channels=["orderbook_delta"], market_tickers=tickers)
            (*_, frame) = raw_until(client, lambda each: each.startswith(b'{"type":"orderbook_snapshot"'), "a snapshot")
            assert frame.endswith(b"}") == bool(ends)


def test_the_truth_knows_what_each_fault_did(start):
    simulator = start("--markets", "100", "--rate", str(RATE), "--tier", "unlimited")
    tickers = simulator.tickers(status="open")
    with simulator.connect() as connection:
        client = Client(connection)
        client.ask("subscribe", channels=["orderbook_delta"], market_tickers=tickers)
        client.wait_for(lambda _: len(client.of_type("orderbook_snapshot")) == len(tickers), "books")
        for fault, count in (("drop", 2), ("lose", 3), ("duplicate", 4), ("truncate", 5)):
            simulator.inflict(fault, types=["orderbook_delta"], count=count)
        wait_until(
            lambda: sum(simulator.state()["connections"][0]["tampered_frames"].values()) == 14, what="all of them"
        )
        simulator.stop_the_clock()
        client.send("list_subscriptions")
        raw_until(client, lambda frame: frame.startswith(b'{"id":'), "everything before the answer")
        name = simulator.state()["connections"][0]["name"]
    assert simulator.stop() == 0
    words = [word for block in TruthReader(simulator.truth).sent(name) for word in block]
    counted = dict.fromkeys(SENT_AS, 0)
    of_snapshots = 0
    position = 0
    while position < len(words):
        what = next(name for name, value in SENT_AS.items() if value == words[position] & 3)
        is_snapshot = bool(words[position] & SNAPSHOT_BIT)
        of_snapshots += is_snapshot
        counted[what] += not is_snapshot
        position += 2 if is_snapshot else 1
    assert (counted["withheld"], counted["duplicate"], counted["altered"]) == (5, 4, 5)
    assert of_snapshots == len(tickers)
    assert VALUE_SHIFT > 2
