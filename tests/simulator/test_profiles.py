"""Trading is as wild as its profile says: measured on a minute of each, by what docs/simulator.md is modelled on."""

from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import pytest

from app.postgres.connection import connected
from app.simulator.market.catalog import Catalog
from app.simulator.market.changes import SimDelta, SimLifecycle
from app.simulator.market.exchange import Exchange
from app.simulator.market.lifecycle import is_close
from app.simulator.market.profiles import QUIET, TYPICAL, WILD
from tests.simulator.judging import Recorded, found
from tests.simulator.recording import START_US
from tests.simulator.running import Client
from tests.simulator.test_check_of_what_clients_received import write

SECONDS = 60


class Measured(NamedTuple):
    changes: int
    shared: float  # part of the changes that share their millisecond with another of their market
    most_in_a_millisecond: int
    most_identical: int
    most_in_a_second: int  # of one market
    between_cents: float
    with_fractions: float


def measure(changes):
    deltas = [change for change in changes if isinstance(change, SimDelta)]
    by_ms = Counter((delta.market, delta.at_us // 1_000) for delta in deltas)
    return Measured(
        len(deltas),
        sum(count for count in by_ms.values() if count > 1) / len(deltas),
        max(by_ms.values()),
        max(Counter(delta._replace(at_us=delta.at_us // 1_000, clock=0) for delta in deltas).values()),
        max(Counter((delta.market, delta.at_us // 1_000_000) for delta in deltas).values()),
        sum(delta.price_e6 % 10_000 != 0 for delta in deltas) / len(deltas),
        sum(delta.delta_e2 % 100 != 0 for delta in deltas) / len(deltas),
    )


def minute_of(profile, seed=3):
    exchange = Exchange(Catalog(seed, 1_000, START_US, profile=profile), 1_000)
    return exchange.advance(START_US + SECONDS * 1_000_000)


@pytest.fixture(scope="module", params=[TYPICAL, WILD])
def busy(request):
    return request.param, measure(minute_of(request.param))


def test_most_changes_share_their_millisecond(busy):
    profile, measured = busy
    assert (0.6 < measured.shared < 0.75) if profile == TYPICAL else measured.shared > 0.75


def test_a_quarter_of_the_prices_lie_between_cents_and_an_eighth_of_the_sizes_have_fractions(busy):
    _, measured = busy
    assert 0.22 < measured.between_cents < 0.32
    assert 0.1 < measured.with_fractions < 0.16


def test_bursts_are_as_long_and_as_equal_as_the_recorded_ones():
    measured = measure(minute_of(WILD))
    assert 500 < measured.most_in_a_millisecond <= 700
    assert 40 <= measured.most_identical <= 100
    assert measured.most_in_a_second > 679


def test_a_quiet_market_has_none_of_it():
    measured = measure(minute_of(QUIET))
    assert measured.shared < 0.5
    assert measured.most_in_a_millisecond < 50


@pytest.mark.parametrize("profile", [TYPICAL, WILD])
def test_the_same_seed_gives_the_same_history_however_time_is_sliced(profile):
    def history(steps):
        exchange = Exchange(Catalog(5, 100, START_US, profile=profile), 300)
        moments = [START_US + 8_000_000 * step // steps for step in range(1, steps + 1)]
        return [change for moment_us in moments for change in exchange.advance(moment_us)]

    assert history(1) == history(40)


@pytest.mark.parametrize("profile", [TYPICAL, WILD])
def test_books_never_cross_and_never_hold_less_than_nothing(profile):
    exchange = Exchange(Catalog(9, 100, START_US, profile=profile), 2_000)
    for second in range(1, 21):
        changes = exchange.advance(START_US + second * 1_000_000)
        for market in {change.market for change in changes if isinstance(change, SimDelta)}:
            book = exchange.book(market)
            assert all(size_e2 > 0 for _, size_e2 in (*book.yes, *book.no))
            assert not (book.yes and book.no) or book.yes[-1][0] + book.no[-1][0] < 1_000_000


def test_a_close_empties_the_book_without_changes():
    exchange = Exchange(Catalog(2, 100, START_US, profile=TYPICAL), 500)
    emptied = 0
    for step in range(1, 1_000):
        before = {market: exchange.book(market) for market in range(100, exchange.market_count)}
        for change in exchange.advance(START_US + step * 100_000):
            if isinstance(change, SimLifecycle) and is_close(change):
                index = exchange.catalog.index_of(change.ticker)
                assert (exchange.book(index).yes, exchange.book(index).no) == ([], [])
                emptied += bool(before.get(index) and before[index].yes)
        if emptied > 2:
            return
    raise AssertionError("no market with orders closed")


def test_a_recorder_of_everything_is_judged_right_though_books_are_emptied_and_shown_twice(start, production):
    simulator = start("--markets", "100", "--rate", "400", "--profile", "wild", "--tier", "unlimited")
    tickers = simulator.tickers()
    with simulator.connect() as socket:
        client = Client(socket)
        client.ask("subscribe", channels=["orderbook_delta"], market_tickers=tickers)
        client.ask("subscribe", channels=["ticker"])
        client.ask("subscribe", channels=["trade"])
        client.ask("subscribe", channels=["market_lifecycle_v2"])
        client.ask("subscribe", channels=["multivariate_market_lifecycle"])
        client.wait_for(ShownEmpty(), "a book that is shown empty twice")
        simulator.stop_the_clock()
        received = [client.drain()]
    assert simulator.stop() == 0
    deltas = [message["msg"] for message in client.of_type("orderbook_delta")]
    pairs = [(one, other) for one, other in pairwise(deltas) if one["market_ticker"] == other["market_ticker"]]
    assert any(other["ts"] < one["ts"] for one, other in pairs)
    assert all(other["ts_ms"] >= one["ts_ms"] for one, other in pairs)
    with connected(production) as connection:
        write(connection, received)
        report = Recorded(simulator.truth, connection).judge()
    assert report["ok"], found(report)
    assert {what for _, what in found(report)} <= {"unfillable"}


class ShownEmpty:
    """How often each market was shown empty after it had had orders."""

    def __init__(self):
        self._had_orders = set()
        self._counts = Counter()

    def __call__(self, message):
        """Return whether the message shows a market empty for the second time."""
        said = message.get("msg", {})
        if message["type"] == "orderbook_delta":
            self._had_orders.add(said["market_ticker"])
        is_empty = message["type"] == "orderbook_snapshot" and not {"yes_dollars_fp", "no_dollars_fp"} & said.keys()
        if is_empty and said["market_ticker"] in self._had_orders:
            self._counts[said["market_ticker"]] += 1
        return is_empty and self._counts[said["market_ticker"]] == 2
