"""Findings of the audit by quotes: judge a quote that a followed book does not agree with, and write what follows.

In: the quote, and production. Out: a verdict, and a row of `audit_findings`. It lasts from when the differing levels
were confirmed until the next snapshot of the stream. Findings are looked at again, since rows and journals may arrive
late.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from app.audit.pairs import Difference
from app.audit.quote_records import (
    Cursor,
    QuestionedQuote,
    ReferenceBook,
    clocks_are_certain,
    goes_on,
    is_announced,
    is_over,
    last_in_sight,
    quotes_of_instant,
    rebuilt_book,
    states_of,
)
from app.audit.quotes import QuoteVerdict
from app.coverage.evidence import BOOKS, HeardPeriod, known_until_us, read_evidence, read_gatherers, read_subscriptions
from app.coverage.hours import judge_books
from app.coverage.intervals import moment_of, us_of
from app.normalize.values import MICROSECOND
from app.postgres.connection import Connection, claimed

MOST_AGAIN = 50
SHOWN_LEVELS = 50
# After a contradiction, later changes of the market show that its record goes on. Where none follows, a change may
# still be on its way, or a loss may show with the next message only.
ON_ITS_WAY = timedelta(seconds=2)
# If something was announced, the market may have closed early: production learns of that within this time.
END_IS_KNOWN_WITHIN = timedelta(minutes=2)

FIND = """
    INSERT INTO audit_findings (
        ticker, from_ts, to_ts, is_lasting, quote_ts, from_clock, to_clock, is_explained, differing_levels, levels,
        found_at
    ) VALUES (
        %(ticker)s, %(from_ts)s, '2200-01-01 00:00:00+00', TRUE, %(at)s, %(clock)s, -1, %(is_explained)s, %(count)s,
        %(levels)s, coalesce((SELECT noticed_at FROM book_proofs WHERE ticker = %(ticker)s), now())
    )
    ON CONFLICT (ticker, to_ts, from_ts) DO UPDATE SET
        quote_ts = excluded.quote_ts, is_explained = excluded.is_explained, checked_at = now(), resolved_at = NULL,
        differing_levels = excluded.differing_levels, levels = excluded.levels
"""
# Coverage learns of the row that goes, and of the one that comes.
END = """
    WITH ended AS (
        DELETE FROM audit_findings WHERE ticker = %(ticker)s AND is_lasting AND resolved_at IS NULL RETURNING *
    )
    INSERT INTO audit_findings (
        ticker, from_ts, to_ts, quote_ts, from_clock, to_clock, is_explained, differing_levels, levels, found_at
    )
    SELECT
        ticker, from_ts, %(ended_at)s, quote_ts, from_clock, to_clock, is_explained, differing_levels, levels, found_at
    FROM ended
    ON CONFLICT (ticker, to_ts, from_ts) DO NOTHING
"""


class Contradiction(NamedTuple):
    """A quote that the rebuilt book differs from."""

    asked: QuestionedQuote
    from_ts: datetime  # the differing levels were confirmed then
    clock: int
    differences: list[Difference]


class QuoteJudgement(NamedTuple):
    verdict: QuoteVerdict
    contradiction: Contradiction | None = None


def judge_quote(
    connection: Connection, cursor: Cursor, asked: QuestionedQuote, known: datetime
) -> tuple[QuoteJudgement, ReferenceBook | None]:
    """Compare a quote with the book by its full definition. Return that book, too."""
    rebuilt = rebuilt_book(cursor, asked)
    if rebuilt is None:
        return QuoteJudgement(QuoteVerdict.INCOMPARABLE), None
    differences = rebuilt.book.contradictions(asked.quote, rebuilt.moving)
    if not differences:
        return QuoteJudgement(QuoteVerdict.EQUAL), rebuilt
    if not clocks_are_certain(cursor, asked, rebuilt) or is_over(cursor, asked):
        return QuoteJudgement(QuoteVerdict.INCOMPARABLE), rebuilt
    if _may_be_explained_yet(cursor, asked, known):
        return QuoteJudgement(QuoteVerdict.DOUBTED), rebuilt
    from_ts = _confirmed_at(cursor, asked, rebuilt, differences)
    contradiction = Contradiction(asked, from_ts, rebuilt.clock, differences)
    verdict = QuoteVerdict.EXPLAINED if _has_hole(connection, contradiction, rebuilt.based_on) else QuoteVerdict.FINDING
    return QuoteJudgement(verdict, contradiction), rebuilt


def _may_be_explained_yet(cursor: Cursor, asked: QuestionedQuote, known: datetime) -> bool:
    waited = known - asked.received_at
    if waited <= timedelta(0):
        return True
    if waited >= END_IS_KNOWN_WITHIN or goes_on(cursor, asked, known):
        return False
    return waited < ON_ITS_WAY or is_announced(cursor, asked)


def _confirmed_at(
    cursor: Cursor, asked: QuestionedQuote, rebuilt: ReferenceBook, differences: Sequence[Difference]
) -> datetime:
    """Return when the differing levels were right for certain: at a quote before, or at the snapshot.

    Other quotes in between may have agreed, if better bids hid these levels from them.
    """
    yes_e6, no_e6 = (
        min((each.price_e6 for each in differences if each.yes_side is side), default=None) for side in (True, False)
    )
    at = last_in_sight(cursor, asked, rebuilt.based_on, yes_e6, no_e6)
    for received_at, quote in quotes_of_instant(cursor, asked.ticker, at) if at else ():
        before = rebuilt_book(cursor, QuestionedQuote(asked.ticker, received_at, quote))
        if before is None or before.based_on != rebuilt.based_on or before.book.contradictions(quote, before.moving):
            return rebuilt.based_on
    return at or rebuilt.based_on


def _has_hole(connection: Connection, contradiction: Contradiction, based_on: datetime) -> bool:
    """Return whether nobody received everything since the differing levels were confirmed.

    A gap ends for all books of a subscription when the last one was shown again. A hole that began before the snapshot
    and has ended explains nothing: this book was shown within it.
    """
    asked = contradiction.asked
    period = HeardPeriod(based_on, moment_of(asked.quote.end_us))
    subscriptions = read_subscriptions(connection, period, asked.ticker).get(BOOKS, [])
    holes = judge_books(period.interval, subscriptions, read_evidence(connection, period), asked.ticker).holes
    since_us, until_us = period.interval
    confirmed_us = us_of(contradiction.from_ts)
    return any(end > confirmed_us and (start > since_us or end >= until_us) for start, end in holes)


def note(cursor: Cursor, judged: QuoteJudgement) -> None:
    """Write the finding of a contradiction. It lasts until end_finding()."""
    if judged.contradiction is None:
        return
    asked, from_ts, clock, differences = judged.contradiction
    levels = msgspec.json.encode([difference._asdict() for difference in differences[:SHOWN_LEVELS]]).decode()
    is_explained = judged.verdict is QuoteVerdict.EXPLAINED
    shown = {"from_ts": from_ts, "clock": clock, "is_explained": is_explained, "count": len(differences)}
    cursor.execute(FIND, {**asked.values, **shown, "levels": levels})


def end_finding(cursor: Cursor, ticker: str, ended_at: datetime) -> None:
    """End the finding of a market that has lasted until now, if there is one: books start anew from a snapshot."""
    cursor.execute(END, {"ticker": ticker, "ended_at": ended_at})


# Findings looked at again.

DUE = """
    SELECT f.ticker, f.quote_ts, f.from_ts, f.to_ts FROM audit_findings AS f
    WHERE f.quote_ts IS NOT NULL AND f.resolved_at IS NULL AND f.found_at > now() - INTERVAL '7 days'
        AND f.checked_at < now() - %(pause)s AND f.from_ts >= (SELECT books_since FROM coverage_horizon)
        AND NOT (f.is_explained AND EXISTS (
            SELECT FROM coverage AS c
            WHERE c.ticker = f.ticker AND c.channel = 'orderbook_delta'
                AND c.hour > f.from_ts - INTERVAL '1 hour' AND c.hour <= f.quote_ts
                AND c.holes && tstzmultirange(tstzrange(f.from_ts, f.quote_ts, '[]'))
        ))
    ORDER BY f.checked_at LIMIT %(most)s
"""
WORST_FIRST = (
    *(QuoteVerdict.FINDING, QuoteVerdict.EXPLAINED, QuoteVerdict.DOUBTED),
    *(QuoteVerdict.INCOMPARABLE, QuoteVerdict.EQUAL),
)
RESOLVING = {QuoteVerdict.EQUAL, QuoteVerdict.INCOMPARABLE}
EXPLAINS = {QuoteVerdict.FINDING: False, QuoteVerdict.EXPLAINED: True}
CHECKED = """
    UPDATE audit_findings SET
        checked_at = now(), is_explained = coalesce(%(is_explained)s, is_explained),
        resolved_at = CASE WHEN %(is_resolved)s THEN now() END
    WHERE ticker = %(ticker)s AND from_ts = %(from_ts)s AND to_ts = %(to_ts)s
"""


def audit_quotes_again(
    connection: Connection, now: datetime, patience: timedelta, pause_seconds: float, most: int = MOST_AGAIN
) -> int:
    """Judge the open findings again, and end those that a snapshot has ended. Return how many were looked at."""
    with claimed(connection, "auditing quotes") as is_ours, connection, connection.cursor() as cursor:
        if not is_ours:
            return 0
        known = moment_of(known_until_us(read_gatherers(connection), us_of(now), patience // MICROSECOND))
        cursor.execute(DUE, {"pause": timedelta(seconds=pause_seconds), "most": most})
        due = cursor.fetchall()
        for ticker, quote_ts, from_ts, to_ts in due:
            verdict = _verdict_again(connection, cursor, ticker, quote_ts, known)
            shown = {"is_resolved": verdict in RESOLVING, "is_explained": EXPLAINS.get(verdict)}
            cursor.execute(CHECKED, {"ticker": ticker, "from_ts": from_ts, "to_ts": to_ts, **shown})
        for ticker, state in states_of(cursor, [ticker for ticker, *_ in due]).items():
            if state.ended_at:
                end_finding(cursor, ticker, state.ended_at)
    return len(due)


def _verdict_again(connection: Connection, cursor: Cursor, ticker: str, at: datetime, known: datetime) -> QuoteVerdict:
    """Return the worst verdict on the quotes of an instant. Quotes that are gone leave everything as it is."""
    asked = [QuestionedQuote(ticker, *quote) for quote in quotes_of_instant(cursor, ticker, at)]
    verdicts = {judge_quote(connection, cursor, each, known)[0].verdict for each in asked}
    return next((each for each in WORST_FIRST if each in verdicts), QuoteVerdict.DOUBTED)
