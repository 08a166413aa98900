"""Any interleaving, loss and repetition of what gatherers heard gives the truth, if each event reached one of them."""

import itertools
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.normalize.events import Repetitions
from app.normalize.occurrences import Occurrences
from app.normalize.stream import Stream
from app.postgres.connection import connected
from tests.merge import model
from tests.merge.conftest import NAMES
from tests.normalize.frames import lifecycle
from tests.storage.reading import rows_of
from tests.storage.rows import NOON_US

MS_US = 1_000
SECOND_US = 1_000_000
tickers = (f"KXMODEL-{number}" for number in itertools.count())
examples = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Hearing(NamedTuple):
    """How one gatherer heard one event."""

    is_heard: bool
    is_untimed: bool
    after_gap: bool
    delay_us: int


hearings = st.builds(
    Hearing, st.booleans(), st.booleans(), st.booleans(), st.integers(0, 900).map(lambda ms: ms * MS_US)
)
heard_by_all = st.tuples(*(hearings for _ in NAMES)).filter(lambda three: any(each.is_heard for each in three))
# After so many events of its own, a gatherer writes what it has; then some are merged.
parts = st.lists(st.tuples(st.integers(1, 4), st.sets(st.sampled_from(NAMES), min_size=1)), max_size=12)


def merged_rows(recordings, production, streams, parts, ticker):
    """Production's rows after the gatherers' rows came in these parts, all of them in the end."""
    waiting = {name: list(rows) for name, rows in streams.items()}
    for count, names in parts:
        for name in NAMES:
            recordings.record(name, waiting[name][:count])
            del waiting[name][:count]
        recordings.round(*names)
    for name, rows in waiting.items():
        recordings.record(name, rows)
    recordings.catch_up()
    with connected(production) as connection:
        table = recordings.rule.table
        return [row for row in model.named(table, rows_of(connection, table)) if row["ticker"] == ticker]


changes = st.tuples(st.integers(0, 1), st.sampled_from([100, -100]), st.sampled_from([500_000, 510_000]), heard_by_all)


@examples
@given(changes=st.lists(changes, min_size=1, max_size=12), parts=parts)
def test_changes(lasting, changes, parts):
    ticker, streams = next(tickers), {}
    for position, name in enumerate(NAMES):
        occurrences, clock, rows = Occurrences(100), 1, []
        for step, delta_e2, price_e6, three in changes:
            clock += step
            hearing = three[position]
            if hearing.is_heard:
                nth = occurrences.nth(ticker, clock, (price_e6, delta_e2))
                at_us = NOON_US + clock * SECOND_US + hearing.delay_us * hearing.is_untimed
                flags = (True, hearing.after_gap, hearing.is_untimed)
                rows.append((at_us, at_us, clock, delta_e2, price_e6, nth, *flags, ticker, 7, 1, len(rows)))
        streams[name] = rows
    recordings = lasting("orderbook_deltas")
    found = merged_rows(recordings, lasting.production, streams, parts, ticker)
    expected = model.deltas(model.named(recordings.rule.table, itertools.chain(*streams.values())))
    identity = ("ticker", "clock", "yes_side", "price_e6", "delta_e2", "nth")
    by_identity = model.groups(found, *identity)
    assert {key: len(rows) for key, rows in by_identity.items()} == dict.fromkeys(expected, 1)
    for key, ((ts_missing, times), after_gap) in expected.items():
        (row,) = by_identity[key]
        assert (row["ts_missing"], row["after_gap"]) == (ts_missing, after_gap)
        assert row["exchange_ts"] in times


quotes = st.tuples(*(st.tuples(st.integers(1, 3), hearings) for _ in NAMES)).filter(
    lambda three: any(hearing.is_heard for _, hearing in three)
)


@examples
@given(quotes=st.lists(quotes, min_size=1, max_size=8), parts=parts)
def test_quotes(lasting, quotes, parts):
    """Each may be said several times within its millisecond, and not every time is heard by everybody."""
    ticker, streams = next(tickers), {}
    for position, name in enumerate(NAMES):
        rows = []
        for digest, three in enumerate(quotes):
            times, hearing = three[position]
            at_us = NOON_US + digest * SECOND_US + hearing.delay_us * hearing.is_untimed
            if hearing.is_heard:
                rows += [
                    (at_us, at_us, digest, *[None] * 10, nth, hearing.is_untimed, ticker, 1, 1) for nth in range(times)
                ]
        streams[name] = rows
    recordings = lasting("tickers")
    found = merged_rows(recordings, lasting.production, streams, parts, ticker)
    expected = model.tickers(model.named(recordings.rule.table, itertools.chain(*streams.values())))
    assert len(found) == len(expected)
    for row in found:
        ts_missing, times = expected[ticker, row["digest"], row["nth"]]
        assert row["ts_missing"] == ts_missing
        assert row["exchange_ts"] in times


# By the stream in milliseconds or in whole seconds or when it was sent, or by REST.
ways = st.sampled_from(["stream", "older stream", "untimed stream", "rest"])
trade_copies = st.tuples(*(st.tuples(ways, hearings) for _ in NAMES)).filter(
    lambda three: any(hearing.is_heard for _, hearing in three)
)


@examples
@given(trades=st.lists(trade_copies, min_size=1, max_size=8), parts=parts)
def test_trades(lasting, trades, parts):
    ticker, streams = next(tickers), {name: [] for name in NAMES}
    for number, three in enumerate(trades):
        for name, (way, hearing) in zip(NAMES, three, strict=True):
            if not hearing.is_heard:
                continue
            at_us = NOON_US + number * 1_700_000 + 1_000
            if way == "older stream":
                at_us -= at_us % SECOND_US
            elif way == "untimed stream":
                at_us += hearing.delay_us
            block = None if way == "older stream" else False
            row = (at_us, at_us, 100, 500_000, True, block, way == "rest", ticker, f"{ticker} {number}", 3, 1, number)
            streams[name].append(row)
    recordings = lasting("trades")
    found = merged_rows(recordings, lasting.production, streams, parts, ticker)
    expected = model.trades(model.named(recordings.rule.table, itertools.chain(*streams.values())))
    facts = ("trade_id", "exchange_ts", "from_rest", "is_block_trade")
    assert sorted(tuple(row[name] for name in facts) for row in found) == sorted(
        (trade_id, *rest) for trade_id, rest in expected.items()
    )


LINES = [(name, conn) for name in NAMES for conn in (5, 6)]
# Seconds since the one before: at once, or further away than copies are.
announcements = st.lists(
    st.tuples(
        st.sampled_from([0.2, 6.5, 9.25, 31, 55, 70, 300]),
        st.sets(st.sampled_from(LINES), min_size=1),
        st.sets(st.sampled_from(LINES)),
    ),
    min_size=1,
    max_size=6,
)


@examples
@given(announcements=announcements, parts=parts, data=st.data())
def test_lifecycle_messages(lasting, announcements, parts, data):
    """The same is announced again and again, each connection stamps it otherwise, and sockets are opened anew."""
    ticker, truth_us = next(tickers), NOON_US
    common = {name: Repetitions(100) for name in NAMES}
    heard = {name: [] for name in NAMES}
    streams = {}
    bursts = []
    for number, (passed_seconds, heard_by, opened_anew) in enumerate(announcements):
        truth_us += int(passed_seconds * SECOND_US)
        if passed_seconds > 1 or not bursts:
            bursts.append(dict.fromkeys(LINES, 0))
        for line in LINES:
            if line not in streams or line in opened_anew:
                streams[line] = Stream(line[1], repetitions=common[line[0]])
            if line in heard_by:
                bursts[-1][line] += 1
                sent_ms = truth_us // MS_US + data.draw(st.integers(0, 199))
                frame = lifecycle(
                    "market_lifecycle_v2",
                    {"sending_ts_ms": sent_ms, "seq": None},
                    event_type="deactivated",
                    market_ticker=ticker,
                )
                heard[line[0]].append((sent_ms, number, line, frame))
    rows = {
        name: [streams[line].read(frame, sent_ms * MS_US)[1] for sent_ms, _, line, frame in sorted(told)]
        for name, told in heard.items()
    }
    found = merged_rows(lasting("lifecycle_events"), lasting.production, rows, parts, ticker)
    assert len(found) == sum(max(burst.values()) for burst in bursts)


books = st.tuples(st.integers(0, 3), st.integers(0, 2), st.booleans())


@examples
@given(samples=st.lists(st.tuples(st.sampled_from(NAMES), books), max_size=10), parts=parts)
def test_books(lasting, samples, parts):
    """Gatherers sample on their own; whatever book one confirms later is here in full."""
    ticker, streams = next(tickers), {name: {} for name in NAMES}
    for name, (moment, digest, is_confirmation) in samples:
        at_us = NOON_US + moment * 10
        levels = [None] * 4 if is_confirmation else [[500_000], [digest + 1], [], []]
        streams[name].setdefault(at_us, (at_us, at_us, -1, digest, ticker, "rest", *levels, -1, -1, -1))
    rows = {name: [by_time[at_us] for at_us in sorted(by_time)] for name, by_time in streams.items()}
    found = merged_rows(lasting("orderbook_snapshots"), lasting.production, rows, parts, ticker)
    here = {(row["snapshot_ts"] // 10, row["levels_digest"]) for row in found}
    assert here == {(row[0] // 10, row[3]) for own in rows.values() for row in own}
    full = {row["levels_digest"] for row in found if row["yes_prices_e6"] is not None}
    assert full == {row[3] for own in rows.values() for row in own if row[6] is not None}
