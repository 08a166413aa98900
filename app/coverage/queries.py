"""Queries of the completeness of the record, for the admin service and the command line."""

import difflib
from datetime import datetime
from typing import Any, NamedTuple

from app.coverage.evidence import BOOKS, COMBO_LIFECYCLE, EXCHANGE_CHANNELS, HeardPeriod
from app.errors import OperatorError
from app.postgres.connection import Connection, value_of
from kalshi_data.order_book import Knowledge

Bounds = list[list[str]]  # from and to of each interval

OF_MARKET = """
    SELECT
        hour, channel, state,
        (SELECT coalesce(jsonb_agg(jsonb_build_array(lower(r), upper(r))), '[]') FROM unnest(holes) AS r),
        (SELECT coalesce(jsonb_agg(jsonb_build_array(lower(r), upper(r))), '[]') FROM unnest(repaired) AS r),
        repaired_by, known_until
    FROM readable.coverage
    WHERE ticker = %(ticker)s AND hour > %(start)s - INTERVAL '1 hour' AND hour < %(end)s
    ORDER BY hour, channel
"""
OF_EXCHANGE = """
    SELECT
        h.hour, h.known_until, h.is_settled,
        (SELECT count(*) FROM coverage AS e WHERE e.hour = h.hour AND e.ticker <> '' AND e.state = 'hole'),
        coalesce(
            (
                SELECT jsonb_object_agg(e.channel, e.bounds)
                FROM (
                    SELECT channel, jsonb_agg(jsonb_build_array(lower(r), upper(r))) AS bounds
                    FROM coverage, unnest(holes) AS r
                    WHERE coverage.hour = h.hour AND ticker = ''
                    GROUP BY channel
                ) AS e
            ),
            '{}'
        )
    FROM coverage_known AS h
    WHERE h.hour > %(start)s - INTERVAL '1 hour' AND h.hour < %(end)s
    ORDER BY h.hour
"""

INTERVAL_COLUMNS = """
    ARRAY(SELECT lower(i) FROM unnest({of}.holes) AS i ORDER BY i) AS holes_from,
    ARRAY(SELECT upper(i) FROM unnest({of}.holes) AS i ORDER BY i) AS holes_until,
    ARRAY(SELECT lower(i) FROM unnest({of}.repaired) AS i ORDER BY i) AS repaired_from,
    ARRAY(SELECT upper(i) FROM unnest({of}.repaired) AS i ORDER BY i) AS repaired_until,
    coalesce({of}.repaired_by, ARRAY[]::TEXT[]) AS repaired_by
"""
# The whole exchange's channels, with an empty ticker, and the book of every market that was open in the hour.
JUDGEMENTS = f"""
    SELECT
        '' AS ticker, h.hour AS hour_start, asked.channel,
        CASE
            WHEN NOT isempty(e.holes) THEN 'hole'
            WHEN h.known_until < h.hour + INTERVAL '1 hour' THEN 'pending'
            WHEN NOT isempty(e.repaired) THEN 'repaired'
            ELSE 'complete'
        END AS state,
        h.known_until, h.hour AS since, h.hour + INTERVAL '1 hour' AS until, {INTERVAL_COLUMNS.format(of="e")}
    FROM coverage_known AS h
    CROSS JOIN unnest(ARRAY{[*EXCHANGE_CHANNELS, COMBO_LIFECYCLE]!r}) AS asked (channel)
    LEFT JOIN coverage AS e ON e.hour = h.hour AND e.channel = asked.channel AND e.ticker = ''
    WHERE h.hour {{when}}
    UNION ALL
    SELECT
        c.ticker, c.hour, c.channel, c.state, c.known_until, lower(c.period), upper(c.period),
        {INTERVAL_COLUMNS.format(of="c")}
    FROM coverage_of_markets AS c
    WHERE c.hour {{when}} AND c.channel = '{BOOKS}'
    UNION ALL
    -- What production has forgotten of books must not look like hours in which no market was open.
    SELECT
        '', h.hour, '{BOOKS}', 'pending', h.hour, h.hour, h.hour + INTERVAL '1 hour',
        ARRAY[]::TIMESTAMPTZ[], ARRAY[]::TIMESTAMPTZ[], ARRAY[]::TIMESTAMPTZ[], ARRAY[]::TIMESTAMPTZ[], ARRAY[]::TEXT[]
    FROM coverage_known AS h CROSS JOIN coverage_horizon
    WHERE h.hour {{when}} AND h.hour < books_since
"""  # noqa: S608 - constants


def judgements(hours: str) -> str:
    """Return the query of the judgements in the lake's columns, of the hours that meet the condition."""
    return JUDGEMENTS.format(when=hours)


BOOK = "SELECT state, known_until, lower(hole), upper(hole) FROM knowledge_of_book(%(ticker)s, %(at)s)"


class MarketHour(NamedTuple):
    hour: datetime
    channel: str
    state: str
    holes: Bounds
    repaired: Bounds
    repaired_by: list[str]
    known_until: datetime


class ExchangeHour(NamedTuple):
    hour: datetime
    known_until: datetime
    is_settled: bool
    markets_with_holes: int  # in their books
    holes: dict[str, Bounds]  # of the whole exchange, by channel


def market_hours(connection: Connection, ticker: str, period: HeardPeriod) -> list[MarketHour]:
    """Return the completeness of a market in the hours in which it was open."""
    return [MarketHour(*row) for row in _rows(connection, OF_MARKET, {**period._asdict(), "ticker": ticker})]


def exchange_hours(connection: Connection, period: HeardPeriod) -> list[ExchangeHour]:
    return [ExchangeHour(*row) for row in _rows(connection, OF_EXCHANGE, period._asdict())]


def knowledge_of_book(connection: Connection, ticker: str, at: datetime) -> Knowledge:
    """Return whether everything was received that makes a market's book at a time."""
    ((state, known_until, since, until),) = _rows(connection, BOOK, {"ticker": ticker, "at": at})
    return Knowledge(state, known_until, (since, until) if since else None)


def _rows(connection: Connection, query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall()


# Unknown markets are refused: the record is as empty for a mistyped ticker as for a market that never traded, and an
# empty answer would not show the mistake.

IS_KNOWN = "SELECT EXISTS (SELECT FROM markets WHERE ticker = %s)"
# Candidates share the first characters, most likely the series: a mistyped ticker is usually wrong near its end.
NEAR = "SELECT ticker FROM markets WHERE ticker >= %s AND ticker < %s ORDER BY ticker LIMIT 10000"
FIRST_CHARACTERS = 4
LAST_CHARACTER = "\x7f"


def refuse_unknown_market(connection: Connection, ticker: str) -> None:
    """Raise if production knows no market of this name. The error names the markets with similar names."""
    if value_of(connection, IS_KNOWN, (ticker,)):
        return
    start = ticker[:FIRST_CHARACTERS].upper()
    with connection.cursor() as cursor:
        cursor.execute(NEAR, (start, start + LAST_CHARACTER))
        names = [name for (name,) in cursor.fetchall()]
    near = difflib.get_close_matches(ticker.upper(), names, n=3)
    fix = f"did you mean {' or '.join(near)}?" if near else "check the ticker."
    raise OperatorError(f"There is no market {ticker}.", "Production has no market of that name.", fix)
