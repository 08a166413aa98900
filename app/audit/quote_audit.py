"""One round of the audit by quotes: compare production's new quotes with the books rebuilt from recorded changes.

In: quotes after the last audited one, up to the time until which every gatherer has delivered. Out: up to which quote
each market is proven, and rows of `audit_findings`.

A book is followed from quote to quote, so that a round reads only what has happened since. What is followed need not be
right: rows arrive late, and snapshots correct a book. So a quote that it does not agree with is compared once more,
with the book by its full definition (sql/shared/0060_undisputed_books.sql). Only what still differs counts.
"""

from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from app.audit.quote_findings import Contradiction, QuoteJudgement, end_finding, judge_quote, note
from app.audit.quote_records import (
    ArrivedQuote,
    AuditSpan,
    Cursor,
    OpenContradiction,
    QuestionedQuote,
    arrived_quotes,
    books_before,
    changes_within,
    merged_until,
    quotes_of_instant,
    states_of,
)
from app.audit.quotes import Change, QuotedBook, QuoteVerdict
from app.coverage.evidence import known_until_us, read_gatherers
from app.coverage.intervals import moment_of, us_of
from app.normalize.values import MICROSECOND
from app.postgres.connection import Connection, claimed
from app.storage.arrivals import TOUCH_LOCK, is_disturbed, reach_of, tables_with_noted_compression

BATCH = 2_000
# The most levels of books in memory, about 100 bytes each.
MOST_LEVELS = 500_000
# Bounds of one round: books that are rebuilt because none is followed, and quotes that are looked at closely. Others
# pass: the next quote of their market tells as much.
MOST_REBUILT = 200
MOST_QUESTIONED = 50
# Quotes that arrive later than this pass: their book's changes may be compressed by then.
LATEST = timedelta(hours=1)

# A change may be merged this much later than one that its gatherer received at the same time on another socket.
ON_THE_WAY = timedelta(milliseconds=300)

READ_TABLES = ("tickers", "orderbook_deltas", "orderbook_snapshots")
PROGRESS = "SELECT ingest_id FROM quote_audit_progress"
DOUBTED = "SELECT ticker, doubted_at FROM book_proofs WHERE doubted_at < %s ORDER BY doubted_at LIMIT %s"
ADVANCE = """
    UPDATE quote_audit_progress SET
        ingest_id = %(ingest_id)s, judged_until = greatest(judged_until, %(judged_until)s),
        compared = compared + %(compared)s, equal = equal + %(equal)s, explained = explained + %(explained)s,
        incomparable = incomparable + %(incomparable)s, passed = passed + %(passed)s
"""
PROVE = """
    INSERT INTO book_proofs AS known (ticker, proven_until)
    SELECT * FROM unnest(%(tickers)s::TEXT[], %(times)s::TIMESTAMPTZ[])
    ON CONFLICT (ticker) DO UPDATE SET proven_until = greatest(known.proven_until, excluded.proven_until)
"""
DOUBT = """
    INSERT INTO book_proofs (ticker, doubted_at, noticed_at) VALUES (%s, %s, now())
    ON CONFLICT (ticker) DO UPDATE SET doubted_at = excluded.doubted_at, noticed_at = excluded.noticed_at
"""
SETTLE = "UPDATE book_proofs SET doubted_at = NULL, noticed_at = NULL WHERE ticker = %s"


class AuditedQuotes(NamedTuple):
    """The result of one round."""

    verdicts: Mapping[QuoteVerdict, int]
    findings: list[Contradiction]
    through: datetime | None  # every quote received before was looked at; None: nothing new was
    has_more: bool
    passed: int = 0


AT_US = attrgetter("at_us")
NOTHING = AuditedQuotes({}, [], None, has_more=False)


class FollowedBooks:
    """The books that were compared last, up to a number of levels; the longest unused go first."""

    def __init__(self, most_levels: int = MOST_LEVELS) -> None:
        self._books: OrderedDict[str, QuotedBook] = OrderedDict()
        self._most_levels = most_levels
        self._levels = 0

    def __len__(self) -> int:
        return len(self._books)

    def take(self, ticker: str) -> QuotedBook | None:
        """Return a book and stop following it: whoever changes it puts it back."""
        book = self._books.pop(ticker, None)
        if book is not None:
            self._levels -= len(book)
        return book

    def put(self, ticker: str, book: QuotedBook) -> None:
        self.take(ticker)
        self._books[ticker] = book
        self._levels += len(book)
        while self._levels > self._most_levels and len(self._books) > 1:
            self.take(next(iter(self._books)))

    def clear(self) -> None:
        self._books.clear()
        self._levels = 0


class _Round:
    """What a round has found out, before it is written."""

    def __init__(self) -> None:
        self.verdicts: Counter[QuoteVerdict] = Counter()
        self.passed = 0
        self.proven: dict[str, datetime] = {}
        self.questioned: list[QuestionedQuote] = []
        self.doubted: dict[str, datetime] = {}
        self.settled: list[str] = []
        self.ended: dict[str, datetime] = {}
        self.contradictions: list[QuoteJudgement] = []

    def take(self, asked: QuestionedQuote, judged: QuoteJudgement) -> None:
        if judged.verdict is QuoteVerdict.DOUBTED:
            self.doubted[asked.ticker] = asked.at
            return
        self.verdicts[judged.verdict] += 1
        if judged.verdict is QuoteVerdict.EQUAL:
            self.proven[asked.ticker] = asked.at
        if judged.contradiction:
            self.contradictions.append(judged)


def audit_new_quotes(
    connection: Connection, books: FollowedBooks, now: datetime, patience: timedelta, most: int = BATCH
) -> AuditedQuotes:
    """Compare the quotes that arrived since the last round, up to the first one before which changes may still be
    missing. A difference is a doubt until it is known that all gatherers have delivered. Return NOTHING while another
    process audits."""
    with claimed(connection, "auditing quotes") as is_ours:
        if not is_ours:
            return NOTHING
        try:
            return _audit_new(connection, books, now, patience, most)
        except BaseException:
            books.clear()  # they may be ahead of the progress, which is stored last
            raise


def _audit_new(
    connection: Connection, books: FollowedBooks, now: datetime, patience: timedelta, most: int
) -> AuditedQuotes:
    with connection:
        known = moment_of(known_until_us(read_gatherers(connection), us_of(now), patience // MICROSECOND))
    noted = tables_with_noted_compression(connection)
    found = _Round()
    with connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        for table in READ_TABLES:
            cursor.execute(TOUCH_LOCK, (table, table))
        cursor.execute(PROGRESS)
        (after,) = cursor.fetchone() or (0,)
        reaches = [reach_of(cursor, table) for table in READ_TABLES if table in noted]
        arrived = arrived_quotes(cursor, after, most, is_compressed="tickers" in noted)
        merged = merged_until(cursor, now - patience)
        ripe_until = max(known, merged - ON_THE_WAY) if merged else known
        ripe = _while_known(arrived, ripe_until)
        _judge_doubts(connection, cursor, found, known)
        _compare(cursor, books, found, ripe, known)
        _look_closely(connection, cursor, books, found, known)
    # Compression may have hidden some of the rows: the next round looks again.
    if any(is_disturbed(connection, reach) for reach in reaches):
        books.clear()
        return NOTHING
    is_all = len(ripe) == len(arrived) < most
    last = ripe[-1] if ripe else None
    through = ripe_until if is_all else last and last.received_at
    _conclude(connection, found, last.ingest_id if last else after, through)
    findings = [
        judged.contradiction
        for judged in found.contradictions
        if judged.contradiction and judged.verdict is QuoteVerdict.FINDING
    ]
    return AuditedQuotes(found.verdicts, findings, through, len(ripe) == most, found.passed)


def _while_known(arrived: Sequence[ArrivedQuote], ripe_until: datetime) -> Sequence[ArrivedQuote]:
    """Return the quotes before the first one that is too new: the progress is a single ingest_id."""
    for position, each in enumerate(arrived):
        if each.received_at >= ripe_until:
            return arrived[:position]
    return arrived


# The comparison with books that are followed from quote to quote.


def _compare(
    cursor: Cursor, books: FollowedBooks, found: _Round, ripe: Sequence[ArrivedQuote], known: datetime
) -> None:
    quotes: dict[str, list[ArrivedQuote]] = {}
    for each in ripe:
        quotes.setdefault(each.ticker, []).append(each)
    due = _due(cursor, found, quotes, us_of(known - LATEST))
    followed = _take_books(cursor, books, due)
    spans = {
        ticker: AuditSpan(book.as_of_us, max(each.quote.end_us for each in due[ticker]))
        for ticker, book in followed.items()
    }
    changes = changes_within(cursor, spans)
    compared = 0
    for ticker, book in followed.items():
        agreed, questioned = _follow(book, changes[ticker], due[ticker])
        compared += len(agreed)
        if agreed:
            found.verdicts[QuoteVerdict.EQUAL] += len(agreed)
            found.proven[ticker] = moment_of(agreed[-1].quote.at_us)
        if questioned is None:
            books.put(ticker, book)
        elif len(found.questioned) < MOST_QUESTIONED:
            compared += 1
            found.questioned.append(QuestionedQuote(ticker, questioned.received_at, questioned.quote))
    found.passed += len(ripe) - compared


def _due(
    cursor: Cursor, found: _Round, quotes: Mapping[str, Sequence[ArrivedQuote]], oldest_us: int
) -> dict[str, list[ArrivedQuote]]:
    """Return the quotes to compare by market, in the order of their times."""
    states = states_of(cursor, quotes)
    found.ended = {ticker: state.ended_at for ticker, state in states.items() if state.ended_at}
    due = {}
    for ticker, arrived in quotes.items():
        if chosen := [each for each in arrived if _is_due(each, states.get(ticker), oldest_us)]:
            due[ticker] = sorted(chosen, key=lambda each: each.quote.at_us)
    return due


def _is_due(arrived: ArrivedQuote, state: OpenContradiction | None, oldest_us: int) -> bool:
    if arrived.ts_missing or arrived.quote.at_us < oldest_us:
        return False
    if state is None:
        return True
    is_over = state.ended_at is not None and arrived.quote.at_us > us_of(state.ended_at)
    return is_over and not state.is_doubted


def _take_books(
    cursor: Cursor, books: FollowedBooks, due: Mapping[str, Sequence[ArrivedQuote]]
) -> dict[str, QuotedBook]:
    """Return the books of the markets, rebuilt where none is followed that is old enough."""
    taken = {
        ticker: book
        for ticker, quotes in due.items()
        if (book := books.take(ticker)) and book.as_of_us <= quotes[0].quote.at_us
    }
    unknown = islice((ticker for ticker in due if ticker not in taken), MOST_REBUILT)
    return taken | books_before(cursor, {ticker: due[ticker][0].quote.at_us for ticker in unknown})


def _follow(
    book: QuotedBook, changes: Sequence[Change], quotes: Iterable[ArrivedQuote]
) -> tuple[list[ArrivedQuote], ArrivedQuote | None]:
    """Compare the quotes of a market in the order of their times, up to the first one that does not agree. Return
    those that agree, and that one."""
    agreed: list[ArrivedQuote] = []
    applied = 0
    for each in quotes:
        start = bisect_left(changes, each.quote.at_us, applied, key=AT_US)
        book.apply(changes[applied:start], each.quote.at_us)
        applied = start
        moving = changes[start : bisect_left(changes, each.quote.end_us, start, key=AT_US)]
        if book.contradictions(each.quote, moving):
            return agreed, each
        agreed.append(each)
    return agreed, None


# The close look at a quote that a followed book does not agree with.


def _look_closely(connection: Connection, cursor: Cursor, books: FollowedBooks, found: _Round, known: datetime) -> None:
    for asked in found.questioned:
        judged, rebuilt = judge_quote(connection, cursor, asked, known)
        if judged.verdict is QuoteVerdict.EQUAL and rebuilt:
            books.put(asked.ticker, rebuilt.book)
        found.take(asked, judged)


def _judge_doubts(connection: Connection, cursor: Cursor, found: _Round, known: datetime) -> None:
    """Judge the doubted quotes again of which everything is known by now, the oldest first."""
    cursor.execute(DOUBTED, (known, MOST_QUESTIONED))
    for ticker, at in cursor.fetchall():
        asked = [QuestionedQuote(ticker, *quote) for quote in quotes_of_instant(cursor, ticker, at)]
        judged = [(each, judge_quote(connection, cursor, each, known)[0]) for each in asked]
        worst = next((each for each in judged if each[1].contradiction), None) or next(
            (each for each in judged if each[1].verdict is QuoteVerdict.DOUBTED), None
        )
        if worst is None or worst[1].contradiction:
            found.settled.append(ticker)
            for each in [worst] if worst else judged:
                found.take(*each)


def _conclude(connection: Connection, found: _Round, ingest_id: int, through: datetime | None) -> None:
    """Write a round in one transaction that sees what others have written since: coverage learns of findings, and of
    something else every second."""
    counts = {verdict.value: found.verdicts[verdict] for verdict in QuoteVerdict}
    compared = found.verdicts.total()
    with connection, connection.cursor() as cursor:
        for ticker, ended_at in found.ended.items():
            end_finding(cursor, ticker, ended_at)
        for judged in found.contradictions:
            note(cursor, judged)
        for ticker in found.settled:
            cursor.execute(SETTLE, (ticker,))
        for ticker, at in found.doubted.items():
            cursor.execute(DOUBT, (ticker, at))
        if found.proven:
            cursor.execute(PROVE, {"tickers": list(found.proven), "times": list(found.proven.values())})
        progress = {"ingest_id": ingest_id, "judged_until": through, "compared": compared, "passed": found.passed}
        cursor.execute(ADVANCE, {**progress, **counts})
