"""Read from production what the audit by quotes compares: new quotes, books, changes, and what is known of markets.

All queries go along the indexes by ingest_id, or by market and time; each reads a bounded number of markets. Times are
read as microseconds: the rows are many.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg2.extensions

from app.audit.pairs import ALONG_THE_INDEXES, CLOCKED_CHANGES
from app.audit.quotes import AuditQuote, Change, QuotedBook
from app.coverage.intervals import moment_of
from app.storage.arrivals import leave_out_compressed, show_compressed

Cursor = psycopg2.extensions.cursor

ARRIVED = """
    SELECT
        ingest_id, ticker, received_at, ts_missing, (extract(epoch FROM exchange_ts) * 1000000)::BIGINT,
        yes_bid_e6, yes_bid_size_e2, yes_ask_e6, yes_ask_size_e2
    FROM tickers WHERE ingest_id > %(after)s ORDER BY ingest_id LIMIT %(most)s
"""
OF_INSTANT = """
    SELECT
        received_at, (extract(epoch FROM exchange_ts) * 1000000)::BIGINT,
        yes_bid_e6, yes_bid_size_e2, yes_ask_e6, yes_ask_size_e2
    FROM tickers
    WHERE ticker = %(ticker)s AND exchange_ts = %(at)s AND NOT ts_missing
    ORDER BY received_at
"""
# The changes received before are merged, of each gatherer that is in contact: journals say so seconds later.
MERGED_UNTIL = """
    SELECT min(through) FROM (
        SELECT min(c.received_through) AS through
        FROM gatherer_contacts AS g LEFT JOIN sync_cursors AS c ON c.gatherer = g.gatherer
            AND c.table_name = 'orderbook_deltas'
        WHERE g.contacted_at > %(oldest)s
        GROUP BY g.gatherer
    ) AS merged
    HAVING count(*) = count(through)
"""
# A snapshot of the stream ends what a quote contradicted: the book starts anew from it.
STATES = """
    SELECT asked.ticker, p.doubted_at IS NOT NULL, f.from_ts, f.quote_ts, (
        SELECT s.snapshot_ts FROM orderbook_snapshots AS s
        WHERE s.ticker = f.ticker AND s.snapshot_ts > f.quote_ts AND s.source = 'ws' AND s.clock >= 0
        ORDER BY s.snapshot_ts LIMIT 1
    )
    FROM unnest(%(tickers)s::TEXT[]) AS asked (ticker)
    LEFT JOIN book_proofs AS p USING (ticker)
    LEFT JOIN audit_findings AS f ON f.ticker = asked.ticker AND f.is_lasting AND f.resolved_at IS NULL
    WHERE p.doubted_at IS NOT NULL OR f.ticker IS NOT NULL
"""
BOOKS = """
    SELECT asked.ticker, book.yes_sides, book.prices_e6, book.sizes_e2
    FROM unnest(%(tickers)s::TEXT[], %(times)s::TIMESTAMPTZ[]) AS asked (ticker, at)
    CROSS JOIN LATERAL recorded_book(asked.ticker, asked.at - INTERVAL '1 microsecond') AS book
"""
CHANGES = """
    SELECT
        asked.ticker, (extract(epoch FROM d.exchange_ts) * 1000000)::BIGINT, d.yes_side, d.price_e6, d.delta_e2
    FROM unnest(%(tickers)s::TEXT[], %(since)s::TIMESTAMPTZ[], %(until)s::TIMESTAMPTZ[]) AS asked (ticker, since, until)
    CROSS JOIN LATERAL (
        SELECT exchange_ts, yes_side, price_e6, delta_e2 FROM orderbook_deltas
        WHERE ticker = asked.ticker AND exchange_ts >= asked.since AND exchange_ts < asked.until
            AND exchange_ts >= %(oldest)s
        ORDER BY exchange_ts
    ) AS d
"""


class ArrivedQuote(NamedTuple):
    ingest_id: int
    ticker: str
    received_at: datetime
    ts_missing: bool
    quote: AuditQuote


class OpenContradiction(NamedTuple):
    """A market with a contradiction that is not over."""

    is_doubted: bool
    from_ts: datetime | None  # of its finding; None: it has none
    quote_ts: datetime | None
    ended_at: datetime | None  # by the first snapshot after the quote


class AuditSpan(NamedTuple):
    """The time whose changes are asked for."""

    since_us: int
    until_us: int


def merged_until(cursor: Cursor, oldest: datetime) -> datetime | None:
    """Return until when the changes that gatherers received are merged; None if one of them has merged nothing."""
    cursor.execute(MERGED_UNTIL, {"oldest": oldest})
    row = cursor.fetchone()
    return row[0] if row else None


def arrived_quotes(cursor: Cursor, after: int, most: int, *, is_compressed: bool) -> list[ArrivedQuote]:
    """Return the next quotes after this ingest_id, in the order of their arrival."""
    cursor.execute(ALONG_THE_INDEXES)
    if is_compressed:
        leave_out_compressed(cursor, "tickers", after + 1)
    cursor.execute(ARRIVED, {"after": after, "most": most})
    arrived = [
        ArrivedQuote(ingest_id, ticker, received_at, ts_missing, AuditQuote(*quote))
        for ingest_id, ticker, received_at, ts_missing, *quote in cursor
    ]
    if is_compressed:
        # The snapshots and changes that books are made of may be compressed.
        show_compressed(cursor)
    return arrived


def quotes_of_instant(cursor: Cursor, ticker: str, at: datetime) -> list[tuple[datetime, AuditQuote]]:
    """Return the quotes of a market at a time, each with when it was received."""
    cursor.execute(OF_INSTANT, {"ticker": ticker, "at": at})
    return [(received_at, AuditQuote(*row)) for received_at, *row in cursor]


def states_of(cursor: Cursor, tickers: Iterable[str]) -> dict[str, OpenContradiction]:
    """Return the states of those markets that have a contradiction."""
    cursor.execute(STATES, {"tickers": list(tickers)})
    return {ticker: OpenContradiction(*row) for ticker, *row in cursor}


def books_before(cursor: Cursor, times_us: dict[str, int]) -> dict[str, QuotedBook]:
    """Return the books of markets as they were before these times, without markets that have no snapshot yet."""
    cursor.execute(BOOKS, {"tickers": list(times_us), "times": list(map(moment_of, times_us.values()))})
    return {ticker: _book(times_us[ticker], *levels) for ticker, *levels in cursor}


def _book(as_of_us: int, *columns: Sequence[Any] | None) -> QuotedBook:
    return QuotedBook(as_of_us, zip(*(column or () for column in columns), strict=True))


def changes_within(cursor: Cursor, spans: dict[str, AuditSpan]) -> dict[str, list[Change]]:
    """Return the changes of markets within a span of each, in the order of their times."""
    found: dict[str, list[Change]] = {ticker: [] for ticker in spans}
    if not spans:
        return found
    since, until = ([moment_of(us) for us in column] for column in zip(*spans.values(), strict=True))
    cursor.execute(CHANGES, {"tickers": list(spans), "since": since, "until": until, "oldest": min(since)})
    for ticker, *change in cursor:
        found[ticker].append(Change(*change))
    return found


# One quote that the followed book does not agree with, looked at closely: the book is rebuilt by its full definition.

REBUILT = """
    SELECT book.based_on, s.clock, book.yes_sides, book.prices_e6, book.sizes_e2
    FROM recorded_book(%(ticker)s, %(at)s - INTERVAL '1 microsecond') AS book
    JOIN orderbook_snapshots AS s
        ON s.ticker = %(ticker)s AND s.snapshot_ts = book.based_on AND s.source = book.source
"""
# A change without a time of its own is stamped late.
MOVING = """
    SELECT (extract(epoch FROM exchange_ts) * 1000000)::BIGINT, yes_side, price_e6, delta_e2 FROM orderbook_deltas
    WHERE ticker = %(ticker)s AND exchange_ts >= %(at)s AND (
        exchange_ts < %(end)s OR (ts_missing AND exchange_ts <= %(end)s + INTERVAL '1 minute')
    ) AND exchange_ts <= %(end)s + INTERVAL '1 minute'
"""
# A snapshot may be stamped before changes that it holds. Where clocks begin anew, nothing is certain.
CLOCKS = f"""
    SELECT
        coalesce(bool_or(exchange_ts >= %(at)s AND clock <= %(clock)s), FALSE),
        coalesce(bool_or(
            clock < last_clock OR (clock = last_clock AND exchange_ts > last_ts + INTERVAL '1 second')
            OR (clock <= %(clock)s AND exchange_ts > %(based_on)s + INTERVAL '1 second')
            OR (clock > %(clock)s AND exchange_ts < %(based_on)s - INTERVAL '2 seconds')
        ), FALSE)
    FROM ({CLOCKED_CHANGES.format(since="based_on", until="end")}) AS changes
"""  # noqa: S608 - constants
# The exchange empties the book of a market that closes, without changes: as for snapshots, up to ten seconds before.
IS_OVER = """
    SELECT coalesce((
        SELECT m.close_time <= %(at)s + INTERVAL '10 seconds'
            OR m.status IN ('closed', 'determined', 'disputed', 'amended', 'finalized')
        FROM markets AS m WHERE m.ticker = %(ticker)s
    ), FALSE) AND NOT EXISTS (
        SELECT FROM orderbook_deltas
        WHERE ticker = %(ticker)s AND delta_e2 > 0 AND exchange_ts > %(end)s + INTERVAL '1 minute'
    )
"""
# Who received a later change knows of a loss before it.
GOES_ON = """
    SELECT EXISTS (
        SELECT FROM orderbook_deltas
        WHERE ticker = %(ticker)s AND exchange_ts >= %(end)s AND received_at < %(known)s
    )
"""
# A market that closes early is announced: production learns its new end a little later.
IS_ANNOUNCED = """
    SELECT EXISTS (
        SELECT FROM lifecycle_events WHERE ticker = %(ticker)s AND exchange_ts > %(at)s - INTERVAL '1 minute'
    )
"""
# The last quote at which the differing levels were in sight, up to the last one that the book agreed with. A level is
# in sight if no bid of its side is better.
IN_SIGHT = """
    SELECT exchange_ts FROM tickers
    WHERE ticker = %(ticker)s AND exchange_ts > %(based_on)s AND NOT ts_missing
        AND exchange_ts <= least(
            %(at)s - INTERVAL '1 microsecond', (SELECT proven_until FROM book_proofs WHERE ticker = %(ticker)s)
        )
        AND (%(yes_e6)s::INTEGER IS NULL OR yes_bid_e6 <= %(yes_e6)s)
        AND (%(no_e6)s::INTEGER IS NULL OR 1000000 - yes_ask_e6 <= %(no_e6)s)
    ORDER BY exchange_ts DESC LIMIT 1
"""


class ReferenceBook(NamedTuple):
    """A book by its full definition, and the changes that a quote of its time may hold or lack."""

    based_on: datetime
    clock: int  # of the snapshot; -1: it has none
    book: QuotedBook
    moving: list[Change]


class QuestionedQuote(NamedTuple):
    """A quote of a market that a book does not agree with."""

    ticker: str
    received_at: datetime
    quote: AuditQuote

    @property
    def at(self) -> datetime:
        return moment_of(self.quote.at_us)

    @property
    def values(self) -> dict[str, Any]:
        return {"ticker": self.ticker, "at": self.at, "end": moment_of(self.quote.end_us)}


def rebuilt_book(cursor: Cursor, asked: QuestionedQuote) -> ReferenceBook | None:
    """Return the book of a quote's time, or None if no snapshot precedes it."""
    cursor.execute(REBUILT, asked.values)
    row = cursor.fetchone()
    if row is None:
        return None
    based_on, clock, *levels = row
    cursor.execute(MOVING, asked.values)
    return ReferenceBook(based_on, clock, _book(asked.quote.at_us, *levels), [Change(*change) for change in cursor])


def clocks_are_certain(cursor: Cursor, asked: QuestionedQuote, book: ReferenceBook) -> bool:
    """Return whether the snapshot holds no later change than the quote, and clocks did not restart since."""
    cursor.execute(CLOCKS, {**asked.values, "clock": book.clock, "based_on": book.based_on})
    return book.clock >= 0 and cursor.fetchone() == (False, False)


def is_over(cursor: Cursor, asked: QuestionedQuote) -> bool:
    cursor.execute(IS_OVER, asked.values)
    return cursor.fetchone() == (True,)


def goes_on(cursor: Cursor, asked: QuestionedQuote, known: datetime) -> bool:
    """Return whether a later change than the quote was received before everything is known."""
    cursor.execute(GOES_ON, {**asked.values, "known": known})
    return cursor.fetchone() == (True,)


def is_announced(cursor: Cursor, asked: QuestionedQuote) -> bool:
    """Return whether something about the market was announced about that time or later."""
    cursor.execute(IS_ANNOUNCED, asked.values)
    return cursor.fetchone() == (True,)


def last_in_sight(
    cursor: Cursor, asked: QuestionedQuote, based_on: datetime, yes_e6: int | None, no_e6: int | None
) -> datetime | None:
    """Return the last quote before at which these levels were in sight; None if there is none since the snapshot."""
    cursor.execute(IN_SIGHT, {**asked.values, "based_on": based_on, "yes_e6": yes_e6, "no_e6": no_e6})
    row = cursor.fetchone()
    return row[0] if row else None
