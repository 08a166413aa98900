"""Judge whether two sockets with equal subscriptions received the same, by the keys that production merges by."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

from app.kalshi.messages import LIFECYCLE_MESSAGES, OrderbookDelta, OrderbookSnapshot, Ticker, Trade
from app.rehearsal.assumptions import Verdict, counted, not_judged
from app.rehearsal.socket_record import Heard, rows_of
from app.storage.tables import LIFECYCLE_EVENTS, ORDERBOOK_DELTAS, ORDERBOOK_SNAPSHOTS, TICKERS, TRADES, Row, Table

# One socket starts and ends a moment before the other, and messages are not quite in the order of their times.
EDGE_US = 2_000_000

Name = Callable[[Row], Hashable]


class HeardChange(NamedTuple):
    """The key of a change in production: the columns of its table's identity, in their order."""

    exchange_us: int
    ticker: str
    clock: int
    yes_side: bool
    price_e6: int
    delta_e2: int
    nth: int


def _columns(table: Table, *names: str) -> Callable[[Row], tuple[object, ...]]:
    places = [table.column_names.index(name) for name in names]
    return lambda row: tuple(row[place] for place in places)


_change = _columns(ORDERBOOK_DELTAS, *ORDERBOOK_DELTAS.identity)
_ticker_key = _columns(TICKERS, *TICKERS.identity)
trade_facts = _columns(
    TRADES, "trade_id", "ticker", "exchange_ts", "yes_price_e6", "size_e2", "taker_yes", "is_block_trade"
)
_announcement = _columns(LIFECYCLE_EVENTS, *(name for name in LIFECYCLE_EVENTS.timeless_identity if name != "nth"))
BOOK_TICKER, BOOK_CLOCK = map(ORDERBOOK_SNAPSHOTS.column_names.index, ("ticker", "clock"))


def merge_verdicts(books: Sequence[Sequence[Heard]], whole: Sequence[Sequence[Heard]]) -> list[Verdict]:
    """Return the verdicts on two sockets of books, and on two of tickers, trades and announcements."""
    first, second = map(changes_of, books)
    common = between_common_books(*books)
    return [
        clocks_equal(first, second),
        times_equal(first, second),
        deltas_merge(*common),
        same_order(*common),
        repetitions_equal(*common),
        _alike("tickers_merge", "tickers", whole, (Ticker,), _ticker_key),
        _alike("trades_merge", "trades", whole, (Trade,), trade_facts),
        _alike("announcements_alike", "announcements", whole, LIFECYCLE_MESSAGES, _announcement),
    ]


def changes_of(heard: Iterable[Heard]) -> list[HeardChange]:
    return [HeardChange(*_change(row)) for row in rows_of(heard, OrderbookDelta)]  # type: ignore[arg-type]


def clocks_equal(first: Sequence[HeardChange], second: Sequence[HeardChange]) -> Verdict:
    """Judge by changes that both sockets received, comparing their clocks."""
    if any(each.clock < 0 for each in (*first, *second)):
        return not_judged("clocks_equal", "changes carry no clock")
    return _same("clocks_equal", first, second, lambda each: each._replace(clock=0, nth=0), lambda each: each.clock)


def times_equal(first: Sequence[HeardChange], second: Sequence[HeardChange]) -> Verdict:
    def name(each: HeardChange) -> HeardChange:
        return each._replace(exchange_us=0, nth=0)

    if any(each.clock < 0 for each in (*first, *second)):
        return not_judged("times_equal", "changes carry no clock")
    return _same("times_equal", first, second, name, lambda each: each.exchange_us)


def streamed_trades_us(heard: Iterable[Heard]) -> tuple[int, int] | None:
    """Return the exchange's times of the first and the last trade, or None if there was no trade."""
    times_us = [row[0] for row in rows_of(heard, Trade)]
    return (min(times_us), max(times_us)) if times_us else None


def trades_match_rest(heard: Iterable[Heard], rest_rows: Sequence[Row], since_us: int, until_us: int) -> Verdict:
    """Judge by trades well inside a time during which the socket was listening throughout."""
    streamed = {trade_facts(row) for row in rows_of(heard, Trade)}
    listed = {trade_facts(row) for row in rest_rows}
    inner = [
        {each for each in facts if since_us + EDGE_US <= int(str(each[2])) <= until_us - EDGE_US}
        for facts in (streamed, listed)
    ]
    wrong = [f"{each[0]} by the stream alone" for each in inner[0] - listed]
    wrong += [f"{each[0]} by REST alone" for each in inner[1] - streamed]
    return counted("trades_match_rest", "trades", len(inner[0] | inner[1]), wrong)


def _same(
    assumption: str,
    first: Sequence[HeardChange],
    second: Sequence[HeardChange],
    name: Callable[[HeardChange], HeardChange],
    value: Callable[[HeardChange], int],
) -> Verdict:
    """Judge by changes that both received equally often: at the edges, each socket misses some."""
    ours, theirs = (_values(changes, name, value) for changes in (first, second))
    both = [each for each in ours.keys() & theirs.keys() if len(ours[each]) == len(theirs[each])]
    wrong = [f"{each.ticker}: {ours[each][:2]} and {theirs[each][:2]}" for each in both if ours[each] != theirs[each]]
    return counted(assumption, "changes that both sockets told", len(both), wrong)


def _values(
    changes: Iterable[HeardChange], name: Callable[[HeardChange], HeardChange], value: Callable[[HeardChange], int]
) -> dict[HeardChange, list[int]]:
    found: defaultdict[HeardChange, list[int]] = defaultdict(list)
    for each in changes:
        found[name(each)].append(value(each))
    return {each: sorted(values) for each, values in found.items()}


def between_common_books(
    first: Sequence[Heard], second: Sequence[Heard]
) -> tuple[list[HeardChange], list[HeardChange]]:
    """Return the changes between snapshots that both sockets received: they must be exactly the same."""
    shown = [_clocks(heard) for heard in (first, second)]
    bounds = {
        ticker: (max(each[ticker][0] for each in shown), min(each[ticker][-1] for each in shown))
        for ticker in shown[0].keys() & shown[1].keys()
    }
    nothing = (0, 0)
    ours, theirs = (
        [each for each in changes_of(heard) if _is_within(each.clock, bounds.get(each.ticker, nothing))]
        for heard in (first, second)
    )
    return ours, theirs


def deltas_merge(first: Sequence[HeardChange], second: Sequence[HeardChange]) -> Verdict:
    ours, theirs = set(first), set(second)
    alone = [f"{each.ticker} clock {each.clock} by the first alone" for each in first if each not in theirs]
    alone += [f"{each.ticker} clock {each.clock} by the second alone" for each in second if each not in ours]
    return counted("deltas_merge", "changes", len(ours | theirs), alone)


def same_order(first: Sequence[HeardChange], second: Sequence[HeardChange]) -> Verdict:
    common = set(first) & set(second)
    ours, theirs = (_by_market(each for each in changes if each in common) for changes in (first, second))
    moved = [ticker for ticker in sorted(ours) if ours[ticker] != theirs[ticker]]
    return counted("same_order", "markets", len(ours), moved)


def repetitions_equal(first: Sequence[HeardChange], second: Sequence[HeardChange]) -> Verdict:
    ours, theirs = ({each for each in changes if each.nth} for changes in (first, second))
    if not ours | theirs:
        return not_judged("repetitions_equal", f"of {len(first)} changes none was identical to one of its moment")
    uneven = [f"{each.ticker} clock {each.clock}" for each in ours ^ theirs]
    return counted("repetitions_equal", "repetitions", len(ours | theirs), uneven)


def _clocks(heard: Sequence[Heard]) -> dict[str, list[int]]:
    """Return the clocks of the snapshots, by market."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows_of(heard, OrderbookSnapshot):
        if row[BOOK_CLOCK] >= 0:
            found[row[BOOK_TICKER]].append(row[BOOK_CLOCK])
    return dict(found)


def _is_within(clock: int, bounds: tuple[int, int]) -> bool:
    return bounds[0] < clock <= bounds[1]


def _by_market(changes: Iterable[HeardChange]) -> dict[str, list[HeardChange]]:
    found: defaultdict[str, list[HeardChange]] = defaultdict(list)
    for each in changes:
        found[each.ticker].append(each)
    return dict(found)


def _alike(assumption: str, what: str, pair: Sequence[Sequence[Heard]], types: tuple[type, ...], name: Name) -> Verdict:
    """Judge by rows well inside the time of both sockets: the other must have received each equally often."""
    rows = [rows_of(heard, *types) for heard in pair]
    if not all(rows):
        return not_judged(assumption, f"no {what} came on both sockets")
    since_us = max(min(row[0] for row in each) for each in rows) + EDGE_US
    until_us = min(max(row[0] for row in each) for each in rows) - EDGE_US
    ours, theirs = (Counter(map(name, each)) for each in rows)
    inner = [Counter(name(row) for row in each if since_us <= row[0] <= until_us) for each in rows]
    alone = [f"{each} by the first alone" for each in inner[0] - theirs]
    alone += [f"{each} by the second alone" for each in inner[1] - ours]
    return counted(assumption, what, (inner[0] | inner[1]).total(), alone)
