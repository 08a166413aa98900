from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from app.simulator.market.catalog import Catalog
from app.simulator.market.changes import SimDelta, SimTicker, SimTrade
from app.simulator.market.exchange import Exchange
from app.simulator.market.prices import DOLLAR_E6, ticks
from tests.simulator.recording import START_US

SECONDS = 30
RATE = 4_000


@pytest.fixture(scope="module")
def exchange():
    return Exchange(Catalog(seed=9, markets=300, start_us=START_US), RATE)


@pytest.fixture(scope="module")
def opening_books(exchange):
    return {index: exchange.book(index) for index in range(300)}


@pytest.fixture(scope="module")
def changes(exchange, opening_books):
    return exchange.advance(START_US + SECONDS * 1_000_000)


def of(kind, changes):
    return [change for change in changes if isinstance(change, kind)]


def test_it_makes_as_many_changes_a_second_as_asked_for(changes):
    assert len(changes) == pytest.approx(SECONDS * RATE, rel=0.05)


def test_time_never_goes_back_and_clocks_do_not_either(changes):
    assert all(earlier.at_us <= later.at_us for earlier, later in pairwise(changes))
    clocks = defaultdict(list)
    for delta in of(SimDelta, changes):
        clocks[delta.market].append(delta.clock)
    assert all(earlier <= later for market in clocks.values() for earlier, later in pairwise(market))
    steps = Counter(later - earlier for market in clocks.values() for earlier, later in pairwise(market))
    assert steps[0] > 0, "several changes of one action share the clock"
    assert max(steps) > 1, "clocks skip values"


def test_a_few_markets_take_most_changes_and_many_take_a_few(changes):
    per_market = Counter(delta.market for delta in of(SimDelta, changes))
    hottest = sum(count for _, count in per_market.most_common(10))
    assert hottest > 0.4 * per_market.total()
    assert len(per_market) > 200


def test_bids_never_cross_and_sizes_are_never_below_nothing(exchange, opening_books, changes):
    sides = {index: (dict(book.yes), dict(book.no)) for index, book in opening_books.items()}
    tops = {}
    for delta in of(SimDelta, changes):
        yes, no = sides.setdefault(delta.market, ({}, {}))
        side = yes if delta.yes_side else no
        side[delta.price_e6] = side.get(delta.price_e6, 0) + delta.delta_e2
        assert side[delta.price_e6] >= 0
        if not side[delta.price_e6]:
            del side[delta.price_e6]
        tops[delta.market, delta.clock] = max(yes, default=0) + max(no, default=0)
    assert max(tops.values()) < DOLLAR_E6
    assert len(tops) > 1_000


def test_books_are_the_opening_books_and_every_change_since(exchange, opening_books, changes):
    sides = {index: (dict(book.yes), dict(book.no)) for index, book in opening_books.items()}
    for delta in of(SimDelta, changes):
        side = sides.setdefault(delta.market, ({}, {}))[0 if delta.yes_side else 1]
        side[delta.price_e6] = side.get(delta.price_e6, 0) + delta.delta_e2
    compared = 0
    for index, both in sides.items():
        if exchange.status(index) != "finalized":
            book = exchange.book(index)
            assert [sorted((price, size) for price, size in side.items() if size) for side in both] == [
                book.yes,
                book.no,
            ]
            compared += 1
    assert compared > 250


def test_prices_are_ticks_of_their_market_down_to_a_hundredth_of_a_cent(exchange, changes):
    finest = set()
    for delta in of(SimDelta, changes):
        structure = exchange.catalog.structure(delta.market, delta.at_us)
        assert delta.price_e6 in ticks(structure)
        finest.add(next(unit for unit in (10_000, 1_000, 100) if delta.price_e6 % unit == 0))
    assert finest == {10_000, 1_000, 100}


def test_counts_are_whole_contracts_mostly_and_sometimes_parts(changes):
    parts = [delta.delta_e2 % 100 != 0 for delta in of(SimDelta, changes)]
    assert 0.02 < sum(parts) / len(parts) < 0.5


def test_a_trade_takes_what_rested_under_the_same_clock(changes):
    taken = 0
    for earlier, trade in pairwise(changes):
        if isinstance(trade, SimTrade) and not trade.is_block_trade:
            assert isinstance(earlier, SimDelta)
            assert (earlier.at_us, earlier.market) == (trade.at_us, trade.market)
            assert -earlier.delta_e2 == trade.size_e2
            assert earlier.yes_side != trade.taker_yes
            maker_e6 = trade.yes_price_e6 if earlier.yes_side else DOLLAR_E6 - trade.yes_price_e6
            assert earlier.price_e6 == maker_e6
            taken += 1
    assert taken > 100
    assert any(trade.is_block_trade for trade in of(SimTrade, changes))


def test_trades_have_ids_of_their_own(changes):
    ids = [trade.trade_id for trade in of(SimTrade, changes)]
    assert len(set(ids)) == len(ids)


def test_some_changes_are_equal_in_everything(changes):
    deltas = Counter(of(SimDelta, changes))
    assert max(deltas.values()) >= 2


def test_tickers_come_and_go_and_come_again_within_a_millisecond(changes):
    within = defaultdict(list)
    for ticker in of(SimTicker, changes):
        within[ticker.market, ticker.at_us // 1_000].append(ticker[2:])
    assert any(
        first == third != second
        for said in within.values()
        for first, second, third in zip(said, said[1:], said[2:], strict=False)
    )


def test_a_ticker_says_what_the_book_and_the_trades_say(exchange, changes):
    last = {ticker.market: ticker for ticker in of(SimTicker, changes)}
    for market, ticker in last.items():
        if exchange.status(market) == "finalized":
            continue
        book = exchange.book(market)
        best_yes, best_no = (side[-1] if side else (0, 0) for side in (book.yes, book.no))
        assert (ticker.yes_bid_e6, ticker.yes_bid_size_e2) == best_yes
        assert (ticker.yes_ask_e6, ticker.yes_ask_size_e2) == (DOLLAR_E6 - best_no[0], best_no[1])
        assert exchange.quote(market)[2:] == ticker[2:]


def test_volume_is_what_was_traded(exchange):
    exchange = Exchange(Catalog(seed=9, markets=300, start_us=START_US), RATE)
    before = {index: exchange.quote(index).volume_e2 for index in range(300)}
    traded = Counter()
    for trade in of(SimTrade, exchange.advance(START_US + 5_000_000)):
        traded[trade.market] += trade.size_e2
    for market, volume_e2 in before.items():
        assert exchange.quote(market).volume_e2 == volume_e2 + traded[market]


def test_the_older_wire_gets_whole_cents_and_whole_contracts():
    exchange = Exchange(Catalog(seed=9, markets=300, start_us=START_US, whole_cents=True), RATE)
    books = [exchange.book(index) for index in range(300)]
    changes = exchange.advance(START_US + 15_000_000)
    for trade in of(SimTrade, changes):
        assert (trade.yes_price_e6 % 10_000, trade.size_e2 % 100) == (0, 0)
    levels = [level for book in books for side in (book.yes, book.no) for level in side]
    for price_e6, size_e2 in levels + [(delta.price_e6, delta.delta_e2) for delta in of(SimDelta, changes)]:
        assert (price_e6 % 10_000, size_e2 % 100) == (0, 0)
