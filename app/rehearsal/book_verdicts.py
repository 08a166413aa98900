"""Judge books: rebuilt from changes they must equal the next book, REST's book, and the best levels of tickers."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from app.audit.pairs import differences, levels_of
from app.kalshi.messages import OrderbookDelta, OrderbookSnapshot, Ticker
from app.normalize.snapshots import LEVELS, levels_digest
from app.normalize.values import ONE_DOLLAR_E6
from app.rehearsal.assumptions import Verdict, counted, not_judged
from app.rehearsal.merge_verdicts import EDGE_US
from app.rehearsal.socket_record import Heard, SocketRecord, market_of, of_type, rows_of
from app.storage.tables import ORDERBOOK_DELTAS, ORDERBOOK_SNAPSHOTS, TICKERS, Row
from app.subscriptions.commands import CommandKind
from kalshi_data.order_book import Levels, added_up

CLOCK, YES_SIDE, PRICE, DELTA = map(ORDERBOOK_DELTAS.column_names.index, ("clock", "yes_side", "price_e6", "delta_e2"))
BOOK_TICKER, BOOK_CLOCK, DIGEST = map(ORDERBOOK_SNAPSHOTS.column_names.index, ("ticker", "clock", "levels_digest"))
QUOTE = [
    TICKERS.column_names.index(name) for name in ("yes_bid_e6", "yes_bid_size_e2", "yes_ask_e6", "yes_ask_size_e2")
]
QUOTED = TICKERS.column_names.index("ticker")
# The most that REST's answer may be behind the stream, or the stream behind REST.
SLACK_US = 5_000_000
# Measured on real recordings: 8 of 28,641 tickers were wrong, each within the second of a market's close.
TOLERATED = 0.01

Best = tuple[int, int, int, int]  # bid and its size, ask and its size; a side without size has price 0


class BookState(NamedTuple):
    """A book after a message, valid until the next one."""

    exchange_us: int
    received_us: int
    best: Best
    digest: int


class Poll(NamedTuple):
    """The books that REST returned, and when."""

    asked_us: int
    answered_us: int
    rows: list[Row]


def book_verdicts(
    books: Sequence[SocketRecord], whole: Sequence[SocketRecord], polls: Sequence[Poll], tickers: Sequence[str]
) -> list[Verdict]:
    by_market = [_by_market(record.heard) for record in books]
    states = {ticker: list(states_of(said)) for ticker, said in by_market[0].items()}
    return [
        snapshot_first(books, tickers),
        snapshot_in_order(said for markets in by_market for said in markets.values()),
        books_rebuild(said for markets in by_market for said in markets.values()),
        books_match_rest(states, polls),
        books_match_tickers(states, rows_of(whole[0].heard, Ticker)),
    ]


def snapshot_first(records: Sequence[SocketRecord], tickers: Sequence[str]) -> Verdict:
    wrong = []
    for record in records:
        firsts: dict[str, object] = {}
        for each in of_type(record.heard, OrderbookDelta, OrderbookSnapshot):
            firsts.setdefault(market_of(each.message) or "", each.message)
        wrong += [ticker for ticker in tickers if not isinstance(firsts.get(ticker), OrderbookSnapshot)]
    asked = [
        trip.command for record in records for trip in record.round_trips if trip.command.kind is CommandKind.SNAPSHOT
    ]
    shown = sum(record.shown_again for record in records)
    missing = sum(len(command.tickers) for command in asked) - shown
    verdict = counted(
        "snapshot_first", "books", len(records) * len(tickers), wrong + ["asked for and not shown"] * missing
    )
    return verdict._replace(evidence=f"{verdict.evidence}; {shown} shown again when asked for")


def snapshot_in_order(markets: Iterable[Sequence[Heard]]) -> Verdict:
    total, wrong = 0, []
    for said in markets:
        latest = highest = -1  # of books, and of everything
        for each in said:
            if each.row is None or each.row[CLOCK] < 0:
                continue
            clock, is_book = each.row[CLOCK], isinstance(each.message, OrderbookSnapshot)
            total += is_book
            if (is_book and clock < highest) or (not is_book and clock <= latest):
                wrong.append(f"clock {clock} after {highest}")
            highest, latest = max(highest, clock), clock if is_book else latest
    return counted("snapshot_in_order", "books", total, wrong)


def books_rebuild(markets: Iterable[Sequence[Heard]]) -> Verdict:
    total, wrong = 0, []
    for said in markets:
        shown = [row for row in rows_of(said, OrderbookSnapshot) if row[BOOK_CLOCK] >= 0]
        changes = sorted(rows_of(said, OrderbookDelta), key=lambda row: int(row[CLOCK]))
        clocks = [row[CLOCK] for row in changes]
        for base, later in pairwise(shown):
            between = changes[bisect_right(clocks, base[BOOK_CLOCK]) : bisect_right(clocks, later[BOOK_CLOCK])]
            differing = differences(_levels(base), map(_delta, between), _levels(later))
            total += 1
            wrong += [f"{base[BOOK_TICKER]} at {len(differing)} levels"] if differing else []
    return counted("books_rebuild", "books", total, wrong)


def books_match_rest(states: dict[str, list[BookState]], polls: Iterable[Poll]) -> Verdict:
    total, wrong = 0, []
    for poll in polls:
        for row in poll.rows:
            near = _near(states.get(row[BOOK_TICKER], []), poll.asked_us - SLACK_US, poll.answered_us + SLACK_US)
            if near:
                total += 1
                wrong += [] if row[DIGEST] in {state.digest for state in near} else [row[BOOK_TICKER]]
    return counted("books_match_rest", "polled books", total, wrong, TOLERATED)


def books_match_tickers(states: dict[str, list[BookState]], tickers: Iterable[Row]) -> Verdict:
    """Judge by tickers from a time during which the book's socket was open throughout."""
    total, wrong = 0, []
    for row in tickers:
        known = states.get(row[QUOTED], [])
        if len(known) < 2 or not known[0].exchange_us + EDGE_US < row[0] <= known[-1].exchange_us:
            continue
        if row[QUOTE[1]] is None:
            return not_judged("books_match_tickers", "tickers carry no sizes")
        times = [state.exchange_us for state in known]
        before = bisect_left(times, row[0]) - 1
        at_that_time = known[before : bisect_right(times, row[0])]
        total += 1
        if quote_of(row) not in {state.best for state in at_that_time}:
            wrong.append(f"{row[QUOTED]} says {quote_of(row)}, the book {at_that_time[-1].best}")
    return counted("books_match_tickers", "tickers", total, wrong, TOLERATED)


def states_of(said: Iterable[Heard]) -> Iterator[BookState]:
    """Yield a market's book after each message, from its first snapshot on. Times do not go back."""
    levels: Levels | None = None
    exchange_us = 0
    for each in said:
        if each.row is None:
            continue
        if isinstance(each.message, OrderbookSnapshot):
            # A snapshot's time is its sending time, so only the first one is used: after it the last change counts.
            exchange_us, levels = exchange_us or each.row[0], _levels(each.row)
        elif levels is not None:
            exchange_us, levels = max(exchange_us, each.row[0]), added_up(levels, [_delta(each.row)])
        if levels is not None:
            yield BookState(exchange_us, each.received_us, best_of(levels), _digest(levels))


def best_of(levels: Levels) -> Best:
    (bid, bid_size), (no_bid, ask_size) = (_best(levels, yes_side=side) for side in (True, False))
    return bid, bid_size, ONE_DOLLAR_E6 - no_bid if ask_size else 0, ask_size


def quote_of(row: Row) -> Best:
    bid, bid_size, ask, ask_size = (row[column] or 0 for column in QUOTE)
    return bid if bid_size else 0, bid_size, ask if ask_size else 0, ask_size


def _best(levels: Levels, *, yes_side: bool) -> tuple[int, int]:
    return max(
        ((price, size) for (side, price), size in levels.items() if side is yes_side and size > 0), default=(0, 0)
    )


def _digest(levels: Levels) -> int:
    yes, no = (
        sorted((price, size) for (side, price), size in levels.items() if side is yes_side and size)
        for yes_side in (True, False)
    )
    return levels_digest(yes, no)


def _near(states: Sequence[BookState], since_us: int, until_us: int) -> Sequence[BookState]:
    """Return the states in force at some time in the interval, or nothing if the book was not known throughout."""
    if not states or states[0].received_us > since_us:
        return []
    times = [state.received_us for state in states]
    return states[bisect_right(times, since_us) - 1 : bisect_right(times, until_us)]


def _by_market(heard: Iterable[Heard]) -> dict[str, list[Heard]]:
    found: defaultdict[str, list[Heard]] = defaultdict(list)
    for each in of_type(heard, OrderbookDelta, OrderbookSnapshot):
        found[market_of(each.message) or ""].append(each)
    return dict(found)


def _levels(row: Row) -> Levels:
    return levels_of(*row[LEVELS])


def _delta(row: Row) -> tuple[bool, int, int]:
    return row[YES_SIDE], row[PRICE], row[DELTA]
