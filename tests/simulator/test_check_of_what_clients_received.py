"""The simulator's own account against what independent clients of it received: the two have to agree."""

import json
import zlib
from collections import Counter
from decimal import Decimal

import pytest

from app.postgres.connection import connected
from tests.simulator.judging import Recorded, found
from tests.simulator.recording import A_DAY_US, MOMENT, insert
from tests.simulator.running import Client

CHANNELS = ("orderbook_delta", "ticker", "trade", "market_lifecycle_v2", "multivariate_market_lifecycle")


@pytest.fixture
def recorder(production):
    with connected(production) as connection:
        yield connection


@pytest.fixture
def simulator(start):
    return start("--markets", "100", "--rate", "600", "--tier", "unlimited")


def test_what_two_clients_received_together_is_everything(simulator, recorder):
    tickers = simulator.tickers()
    with simulator.connect() as first, simulator.connect() as second:
        clients = [Client(first), Client(second)]
        for client in clients:
            client.ask("subscribe", channels=["orderbook_delta"], market_tickers=tickers)
            for channel in CHANNELS[1:]:
                client.ask("subscribe", channels=[channel])
        # Each misses something that the other has; and some come twice.
        simulator.inflict("drop", connections=[1], types=["orderbook_delta", "trade", "ticker"], skip=50, count=40)
        simulator.inflict("lose", connections=[2], types=["orderbook_delta", "trade", "ticker"], skip=200, count=40)
        simulator.inflict("duplicate", connections=[2], types=["orderbook_delta", "trade"], skip=20, count=10)
        simulator.inflict("untimed", connections=[2], skip=10, count=15)
        for client in clients:
            client.wait_for(lambda _message, client=client: len(client.of_type("trade")) > 150, "trades")
        simulator.stop_the_clock()
        received = [client.drain() for client in clients]
    assert simulator.stop() == 0
    write(recorder, received)
    report = Recorded(simulator.truth, recorder).judge()
    assert report["ok"], found(report)
    # What happened before they were there, and in markets that came later, was sent to nobody.
    assert {what for _, what in found(report)} <= {"unfillable"}
    deltas = report["tables"][0]
    assert deltas["found"] > 1_000
    assert report["books"]["compared"] > 50
    assert report["books"]["snapshots_compared"] >= 100


def write(connection, received):
    """As a recorder merges: every record once, by what makes it what it is."""
    merged = {}
    for messages in received:
        for table, identity, row in Records().of(messages):
            merged.setdefault((table, *identity), row)
    timed = {(*key[1:2], *key[3:]) for key, row in merged.items() if key[0] == "orderbook_deltas" and not row[8]}
    with connection.cursor() as cursor:
        for table in ("orderbook_deltas", "trades", "tickers", "lifecycle_events", "orderbook_snapshots"):
            rows = [
                row
                for key, row in merged.items()
                # A change that came without its time, and that the other connection sent with it, is one.
                if key[0] == table and not (table == "orderbook_deltas" and row[8] and (*key[1:2], *key[3:]) in timed)
            ]
            chunks = (table, rows[0][0] - A_DAY_US, rows[0][0] + A_DAY_US)
            cursor.execute(f"SELECT ensure_chunks(%s, {MOMENT}, {MOMENT})", chunks)
            insert(cursor, table, rows)


class Records:
    """The rows of one connection's messages, with their identities."""

    def __init__(self):
        self._nths = Counter()
        self._last_seq = {}

    def of(self, messages):
        for message in messages:
            make = getattr(self, f"_{message['type']}", None)
            if make and not self._is_repeated(message):
                sent_us = message["sending_ts_ms"] * 1_000
                yield from make(message["msg"], sent_us)

    def _is_repeated(self, message):
        """The same frame again has its old number."""
        if "seq" not in message:
            return False
        is_repeated = message["seq"] <= self._last_seq.get(message["sid"], 0)
        self._last_seq[message["sid"]] = max(message["seq"], self._last_seq.get(message["sid"], 0))
        return is_repeated

    def _nth(self, *key):
        self._nths[key] += 1
        return self._nths[key] - 1

    def _orderbook_delta(self, said, sent_us):
        at_us = said["ts_ms"] * 1_000 if "ts_ms" in said else sent_us
        price_e6, delta_e2 = e6(said["price_dollars"]), e2(said["delta_fp"])
        change = (said["market_ticker"], said["clock"], said["side"], price_e6, delta_e2)
        nth = self._nth("delta", *change)
        row = (
            at_us,
            sent_us,
            said["clock"],
            delta_e2,
            price_e6,
            nth,
            said["side"] == "yes",
            False,
            "ts_ms" not in said,
        )
        yield "orderbook_deltas", (said["market_ticker"], at_us, *change[1:], nth), (*row, said["market_ticker"])

    def _trade(self, said, sent_us):
        row = (said["ts_ms"] * 1_000, sent_us, e2(said["count_fp"]), e6(said["yes_price_dollars"]))
        flags = (said["taker_outcome_side"] == "yes", said["is_block_trade"], False)
        yield "trades", (said["trade_id"],), (*row, *flags, said["market_ticker"], said["trade_id"])

    def _ticker(self, said, sent_us):
        sizes = ("yes_bid_size_fp", "yes_ask_size_fp", "last_trade_size_fp", "volume_fp", "open_interest_fp")
        fields = [e2(said[name]) for name in sizes] + [said["dollar_volume"], said["dollar_open_interest"]]
        fields += [e6(said[name] or "0") for name in ("price_dollars", "yes_bid_dollars", "yes_ask_dollars")]
        digest = zlib.crc32(repr(fields).encode())
        identity = (said["market_ticker"], said["ts_ms"], digest)
        nth = self._nth("ticker", *identity)
        row = (said["ts_ms"] * 1_000, sent_us, digest, *fields, nth, False, said["market_ticker"])
        yield "tickers", (*identity, nth), row

    def _orderbook_snapshot(self, said, sent_us):
        sides = [said.get(name, []) for name in ("yes_dollars_fp", "no_dollars_fp")]
        levels = [
            column for side in sides for column in ([e6(price) for price, _ in side], [e2(size) for _, size in side])
        ]
        row = (sent_us, sent_us, said["clock"], 0, said["market_ticker"], "ws", *levels)
        yield "orderbook_snapshots", (said["market_ticker"], sent_us), row

    def _lifecycle(self, event_type, said, sent_us):
        ticker, payload = said.get("market_ticker") or said["event_ticker"], json.dumps(said, sort_keys=True)
        nth = self._nth("lifecycle", ticker, event_type, payload)
        yield (
            "lifecycle_events",
            (ticker, event_type, payload, nth),
            (sent_us, sent_us, 1, nth, ticker, event_type, payload),
        )

    def _market_lifecycle_v2(self, said, sent_us):
        return self._lifecycle(said["event_type"], said, sent_us)

    _multivariate_market_lifecycle = _market_lifecycle_v2

    def _event_lifecycle(self, said, sent_us):
        return self._lifecycle("event_lifecycle", said, sent_us)

    def _event_fee_update(self, said, sent_us):
        return self._lifecycle("event_fee_update", said, sent_us)


def e6(dollars):
    return int(Decimal(dollars) * 1_000_000)


def e2(contracts):
    return int(Decimal(contracts) * 100)
