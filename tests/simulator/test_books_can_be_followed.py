"""A snapshot and the deltas after it make the book, and the sequence shows that none is missing."""

from collections import defaultdict
from decimal import Decimal

from tests.simulator.running import Client

SIDES = {"yes": "yes_dollars_fp", "no": "no_dollars_fp"}


class Follower:
    """Rebuilds books as a recorder would, and insists on what the exchange promises."""

    def __init__(self):
        self.seq = defaultdict(int)
        self.clocks = {}
        self.books = {}

    def take(self, message):
        if "seq" in message:
            assert message["seq"] == self.seq[message["sid"]] + 1, message
            self.seq[message["sid"]] = message["seq"]
        if message["type"] == "orderbook_snapshot":
            self._replace(message["msg"])
        elif message["type"] == "orderbook_delta":
            self._change(message["msg"])

    def _replace(self, said):
        ticker = said["market_ticker"]
        self.clocks[ticker] = said["clock"]
        self.books[ticker] = {side: dict(said.get(key, [])) for side, key in SIDES.items()}

    def _change(self, said):
        ticker = said["market_ticker"]
        assert said["clock"] >= self.clocks[ticker], said
        self.clocks[ticker] = said["clock"]
        levels = self.books[ticker][said["side"]]
        size = Decimal(levels.pop(said["price_dollars"], "0.00")) + Decimal(said["delta_fp"])
        assert size >= 0, said
        if size:
            levels[said["price_dollars"]] = f"{size:.2f}"

    def book(self, ticker):
        return {side: sorted(levels.items()) for side, levels in self.books[ticker].items()}


def rest_book(simulator, ticker):
    book = simulator.rest(f"/markets/{ticker}/orderbook").body["orderbook_fp"]
    return {side: [tuple(level) for level in book[f"{side}_dollars"]] for side in SIDES}


def test_books_from_the_stream_are_those_that_rest_shows(start):
    # A reader that a busy machine makes slow is no subject here.
    roomy = ("--buffer-frames", "1000000")
    simulator = start("--markets", "60", "--rate", "2000", "--speed", "3", "--tier", "unlimited", *roomy)
    tickers = simulator.tickers()
    with simulator.connect() as connection:
        client = Client(connection)
        # In three parts, so that snapshots fall between deltas of the same sid.
        client.ask("subscribe", channels=["orderbook_delta"], market_tickers=tickers[::3])
        for part in (tickers[1::3], tickers[2::3]):
            client.wait_for(lambda _: len(client.of_type("orderbook_delta")) > 500, "deltas")
            client.ask("update_subscription", sid=1, action="add_markets", market_tickers=part)
            client.send("update_subscription", sid=1, action="get_snapshot", market_tickers=tickers[:5])
        client.wait_for(lambda _: len(client.of_type("orderbook_delta")) > 4_000, "deltas")
        simulator.stop_the_clock()
        client.drain()
        follower = Follower()
        for message in client.seen:
            follower.take(message)
        assert set(follower.books) == set(tickers)
        for ticker in tickers:
            assert follower.book(ticker) == rest_book(simulator, ticker)


def test_settlement_shows_an_empty_book(start):
    simulator = start("--markets", "300", "--rate", "100", "--speed", "20", "--tier", "unlimited")
    with simulator.connect() as connection:
        client = Client(connection)
        client.ask("subscribe", channels=["orderbook_delta"], market_tickers=simulator.tickers()[:1])
        client.ask("subscribe", channels=["market_lifecycle_v2"])
        # Of a kind whose whole life takes half a minute.
        created = client.wait_for(
            lambda each: is_turn(each, "created") and "QUICK" in each["msg"]["market_ticker"], "one"
        )
        ticker = created["msg"]["market_ticker"]
        client.ask("update_subscription", sid=1, action="add_markets", market_tickers=[ticker])
        client.wait_for(lambda each: is_turn(each, "settled") and each["msg"]["market_ticker"] == ticker, "its end")
        shown = client.wait_for_type("orderbook_snapshot")
    before = [each["seq"] for each in client.seen[:-1] if each.get("sid") == 1 and "seq" in each]
    assert (shown["seq"], shown["msg"]["market_ticker"]) == (before[-1] + 1, ticker)
    assert not set(SIDES.values()) & set(shown["msg"])
    assert any(each["msg"]["market_ticker"] == ticker for each in client.of_type("orderbook_delta"))


def is_turn(message, event_type):
    return message["type"] == "market_lifecycle_v2" and message["msg"]["event_type"] == event_type


def test_two_connections_hear_the_same_clocks_in_the_same_order(simulator):
    tickers = simulator.tickers(status="open")
    heard = []
    with simulator.connect() as one, simulator.connect(key=1) as other:
        clients = [Client(one), Client(other)]
        for client in clients:
            client.ask("subscribe", channels=["orderbook_delta"], market_tickers=tickers)
            client.wait_for(lambda _, client=client: len(client.of_type("orderbook_snapshot")) == len(tickers), "books")
        clients[0].wait_for(lambda _: len(clients[0].of_type("orderbook_delta")) > 300, "deltas")
        simulator.stop_the_clock()
        for client in clients:
            client.drain()
            heard.append([each["msg"] for each in client.of_type("orderbook_delta")])
        simulator.go_on()
    shorter = min(map(len, heard))
    assert shorter > 100
    assert heard[0][-shorter:] == heard[1][-shorter:]
    assert any(first["clock"] == second["clock"] for first, second in zip(heard[0], heard[0][1:], strict=False))


def test_a_slow_reader_loses_its_subscription_and_not_its_connection(start):
    simulator = start("--markets", "60", "--rate", "20000", "--buffer-frames", "500", "--tier", "unlimited")
    tickers = simulator.tickers(status="open")
    with simulator.connect(max_queue=4) as connection:
        client = Client(connection)
        client.ask("subscribe", channels=["orderbook_delta", "market_lifecycle_v2"], market_tickers=tickers)
        ordinal = simulator.state()["connections"][0]["ordinal"]
        simulator.inflict("stall", connections=[ordinal], seconds=3)
        error = client.wait_for_type("error")
        assert (error["msg"]["code"], error["sid"]) == (25, 1)
        assert error["seq"] == max(each["seq"] for each in client.seen if each.get("sid") == 1 and "seq" in each)
        assert [each["sid"] for each in client.ask("list_subscriptions")["msg"]] == [2]
        again = client.ask("subscribe", channels=["orderbook_delta"], market_tickers=tickers[:1])
        assert again["msg"]["sid"] == 3
        assert client.wait_for_type("orderbook_snapshot")["sid"] == 3
