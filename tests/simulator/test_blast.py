"""The blast: valid frames, a running seq over the ends of blocks and the growth of digits, and books that stay books."""

import json
from collections import Counter
from decimal import Decimal

import pytest

from app.simulator.blast import Blast
from app.simulator.market.catalog import Catalog, MarketNames
from app.simulator.websocket.subscription import MarketSet
from tests.simulator.running import Client
from tests.simulator.specification import needs_specification, websocket_definitions

NOW_MS = 1_795_246_814_804
CATALOG = Catalog(1, 100, NOW_MS * 1_000)


class Subscribed:
    sid = 7
    markets = MarketSet(range(10))

    def __init__(self, seq):
        self.seq = seq


def frames_of(data):
    while data:
        start = 4 if data[1] == 126 else 2
        size = int.from_bytes(data[2:4], "big") if data[1] == 126 else data[1]
        yield json.loads(data[start : start + size])
        data = data[start + size :]


@pytest.mark.parametrize("seq", [0, 5, 998, 999, 1_500, 9_000, 99_500, 999_999, 123_456_789])
def test_the_sequence_runs_on(seq):
    blast, subscribed, seen = Blast(MarketNames(CATALOG)), Subscribed(seq), []
    for _ in range(3):
        data, count = blast.next_block(subscribed, NOW_MS)
        seen += frames_of(data)
        subscribed.seq += count
    assert [each["seq"] for each in seen] == list(range(seq + 1, seq + 1 + len(seen)))
    clocks = [each["msg"]["clock"] for each in seen]
    assert clocks == sorted(set(clocks))
    assert clocks[0] > 1_000_000_000


def test_what_is_added_is_taken_away_again():
    data, _ = Blast(MarketNames(CATALOG)).next_block(Subscribed(999), NOW_MS)
    books = Counter()
    for each in frames_of(data):
        books[each["msg"]["market_ticker"]] += Decimal(each["msg"]["delta_fp"])
        assert books[each["msg"]["market_ticker"]] >= 0
    assert len(books) == 10
    assert not any(books.values())


@needs_specification
def test_every_frame_is_valid():
    definitions = websocket_definitions()
    data, _ = Blast(MarketNames(CATALOG)).next_block(Subscribed(999), NOW_MS)
    for each in frames_of(data):
        definitions.check("orderbookDeltaPayload", each)


def test_a_client_of_the_blast_sees_snapshots_first_and_no_gap(start):
    simulator = start("--blast", "--markets", "100")
    tickers = simulator.tickers(status="open")[:20]
    with simulator.connect() as connection:
        client = Client(connection)
        client.ask("subscribe", channels=["orderbook_delta"], market_tickers=tickers)
        client.wait_for(lambda _: len(client.seen) > 5_000, "many frames")
    kinds = [each["type"] for each in client.seen[1:]]
    assert kinds == ["orderbook_snapshot"] * 20 + ["orderbook_delta"] * (len(kinds) - 20)
    assert [each["seq"] for each in client.seen[1:]] == list(range(1, len(kinds) + 1))
