"""What each gatherer contributed to a time: what it alone would have missed, and what only it received.

In: the gatherers' journals in production, and the hours that are known. Out: seconds for each gatherer and channel, and
how many gatherers each hour needed. Of order books, seconds are summed over the markets.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import combinations
from typing import NamedTuple

from app.coverage.evidence import BOOKS, CHANNELS, EXCHANGE_CHANNELS, SNAPSHOTS_US
from app.coverage.intervals import Intervals
from app.report.figures import GathererFigures
from app.status.readings import Ask

HOUR_US = 3_600_000_000

# A gatherer counts if production has read it in the seven days before.
NAMES = """
    SELECT gatherer FROM gatherer_runs GROUP BY gatherer
    HAVING min(started_at) < %(to)s AND max(recorded_until) > %(from)s::TIMESTAMPTZ - INTERVAL '7 days'
    ORDER BY gatherer
"""
LIFE = """
    known AS (
        SELECT coalesce(range_agg(tstzrange(since, until)), '{}') AS times
        FROM unnest(%(since)s::TIMESTAMPTZ[], %(until)s::TIMESTAMPTZ[]) AS range (since, until)
    ),
    expected AS (
        SELECT
            %(books)s AS channel, ticker, greatest(open_time, %(from)s) AS opens, least(close_time, %(to)s) AS closes,
            least(traded_until(close_time), %(to)s) AS falls_silent
        FROM markets
        WHERE coalesce(open_time, '-infinity') < %(to)s AND coalesce(traded_until(close_time), 'infinity') > %(from)s
        UNION ALL
        SELECT channel, '', %(from)s, %(to)s, %(to)s FROM unnest(%(channels)s) AS channel
    ),
    life AS (
        SELECT channel, ticker, closes, tstzmultirange(tstzrange(opens, falls_silent)) * known.times AS times
        FROM expected CROSS JOIN known WHERE opens < falls_silent
    )
"""
POSSIBLE = f"""
    WITH {LIFE}
    SELECT channel, extract(epoch FROM sum(upper(part) - lower(part)))::FLOAT AS seconds
    FROM life CROSS JOIN unnest(times) AS part GROUP BY channel
"""  # noqa: S608 - constants, as below
# The times that a gatherer received are those of its subscriptions, without the gaps of their sockets and without what
# it lost, as app/coverage/evidence.py has it. Whoever unsubscribed after a market's close knew that nothing would come.
# Nearly all markets were received at the same times as many others: they are returned once, with their number.
RECEIVED = f"""
    WITH {LIFE},
    gaps AS (
        SELECT
            gatherer, run_id, conn, CASE WHEN sid >= 0 THEN channel END AS channel,
            range_agg(tstzrange(started_at, ended_at)) AS times
        FROM gatherer_gaps WHERE started_at < %(to)s AND coalesce(ended_at, 'infinity') > %(from)s
        GROUP BY 1, 2, 3, 4
    ),
    tables AS (
        SELECT table_name, channel, CASE WHEN channel = %(books)s THEN %(lasts)s ELSE INTERVAL '0' END AS lasts
        FROM unnest(%(tables)s, %(channels_of_tables)s) AS known (table_name, channel)
    ),
    losses AS (
        SELECT gatherer, channel, ticker, range_agg(tstzrange(started_at, ended_at + lasts)) AS times
        FROM (
            SELECT gatherer, table_name, '' AS ticker, started_at, ended_at FROM gatherer_losses
            UNION ALL
            SELECT gatherer, table_name, ticker, started_at, ended_at FROM gatherer_refusals WHERE stored_at IS NULL
        ) AS lost
        JOIN tables USING (table_name)
        WHERE started_at < %(to)s AND ended_at + lasts > %(from)s
        GROUP BY gatherer, channel, ticker
    ),
    subscribed AS (
        SELECT s.gatherer, s.channel, s.ticker, life.times AS life, tstzmultirange(tstzrange(
            greatest(s.started_at, r.started_at),
            greatest(
                s.started_at, r.started_at,
                least(CASE WHEN s.ended_at < life.closes THEN s.ended_at END, r.delivered_until)
            )
        )) - coalesce(whole.times, '{{}}') - coalesce(own.times, '{{}}') AS times
        FROM gatherer_subscriptions AS s
        JOIN life ON life.channel = s.channel AND life.ticker = s.ticker
        JOIN gatherer_runs AS r ON r.gatherer = s.gatherer AND r.run_id = s.run_id
        LEFT JOIN gaps AS whole
            ON whole.gatherer = s.gatherer AND whole.run_id = s.run_id AND whole.conn = s.conn
            AND whole.channel IS NULL
        LEFT JOIN gaps AS own
            ON own.gatherer = s.gatherer AND own.run_id = s.run_id AND own.conn = s.conn AND own.channel = s.channel
        WHERE s.started_at < %(to)s AND (s.ended_at IS NULL OR s.ended_at > %(from)s)
            AND r.started_at < %(to)s AND r.delivered_until > %(from)s
    ),
    received AS (
        SELECT s.gatherer, s.channel, s.ticker,
            range_agg(s.life * s.times - coalesce(whole.times, '{{}}') - coalesce(own.times, '{{}}')) AS times
        FROM subscribed AS s
        LEFT JOIN losses AS whole ON whole.gatherer = s.gatherer AND whole.channel = s.channel AND whole.ticker = ''
        LEFT JOIN losses AS own
            ON own.gatherer = s.gatherer AND own.channel = s.channel AND own.ticker = s.ticker AND s.ticker <> ''
        GROUP BY s.gatherer, s.channel, s.ticker
    ),
    markets_received AS (
        SELECT channel, array_agg(gatherer ORDER BY gatherer) AS gatherers, array_agg(times ORDER BY gatherer) AS times
        FROM received GROUP BY channel, ticker
    ),
    alike AS (
        SELECT channel, gatherers, times, count(*) AS markets FROM markets_received GROUP BY channel, gatherers, times
    )
    SELECT channel, gatherers, markets, (
        SELECT json_agg(each.bounds ORDER BY own.number)
        FROM unnest(alike.times) WITH ORDINALITY AS own (times, number)
        CROSS JOIN LATERAL (
            SELECT coalesce(json_agg(json_build_array(
                (extract(epoch FROM lower(part)) * 1000000)::BIGINT, (extract(epoch FROM upper(part)) * 1000000)::BIGINT
            )), '[]') AS bounds
            FROM unnest(own.times) AS part
        ) AS each
    ) AS times
    FROM alike
"""  # noqa: S608


class Contributions(NamedTuple):
    gatherers: list[GathererFigures]
    hours_needed: dict[int, int]  # hours by how many gatherers it took to have everything that any of them received


class ReceivedAlike(NamedTuple):
    """Markets, or a channel, that the gatherers received at the same times."""

    channel: str
    markets: int
    times: Mapping[str, Intervals]  # by gatherer


def contributions(ask: Ask, known: Sequence[tuple[datetime, datetime]]) -> Contributions:
    """Return what each gatherer contributed to the known times, which are in order."""
    if not known:
        return Contributions([], {})
    asked = {
        "from": known[0][0],
        "to": known[-1][1],
        "since": [since for since, _ in known],
        "until": [until for _, until in known],
        "books": BOOKS,
        "channels": list(EXCHANGE_CHANNELS),
        "lasts": timedelta(microseconds=SNAPSHOTS_US),
        "tables": [table for table, channels in CHANNELS.items() for _ in channels],
        "channels_of_tables": [channel for channels in CHANNELS.values() for channel in channels],
    }
    names = [row["gatherer"] for row in ask(NAMES, asked)]
    possible = {row["channel"]: row["seconds"] for row in ask(POSSIBLE, asked)}
    received = [
        ReceivedAlike(row["channel"], row["markets"], dict(zip(row["gatherers"], row["times"], strict=True)))
        for row in ask(RECEIVED, asked)
    ]
    return Contributions(_figures(names, possible, received), hours_needed(received))


def _figures(
    names: Sequence[str], possible: Mapping[str, float], received: Iterable[ReceivedAlike]
) -> list[GathererFigures]:
    heard_us: dict[tuple[str, str], int] = defaultdict(int)
    alone_us: dict[tuple[str, str], int] = defaultdict(int)
    for group in received:
        for since_us, until_us, hearers in segments(group.times):
            length_us = (until_us - since_us) * group.markets
            for name in hearers:
                heard_us[group.channel, name] += length_us
            if len(hearers) == 1:
                alone_us[group.channel, next(iter(hearers))] += length_us
    return [
        GathererFigures(
            gatherer=name,
            channel=channel,
            possible_seconds=possible[channel],
            missed_seconds=max(0.0, possible[channel] - heard_us[channel, name] / 1e6),
            alone_seconds=alone_us[channel, name] / 1e6,
        )
        for channel in (BOOKS, *EXCHANGE_CHANNELS)
        if channel in possible
        for name in names
    ]


def segments(times: Mapping[str, Intervals]) -> Iterator[tuple[int, int, frozenset[str]]]:
    """Yield the times in which the same gatherers received, with their names; not the times in which none did."""
    turns = sorted((moment, name) for name, intervals in times.items() for bounds in intervals for moment in bounds)
    hearers: frozenset[str] = frozenset()
    before_us = 0
    for moment_us, name in turns:
        if hearers and moment_us > before_us:
            yield before_us, moment_us, hearers
        hearers ^= {name}
        before_us = moment_us


def hours_needed(received: Iterable[ReceivedAlike]) -> dict[int, int]:
    """Return how many hours needed one gatherer, two, and so on."""
    by_hour: dict[int, set[frozenset[str]]] = defaultdict(set)
    for group in received:
        for since_us, until_us, hearers in segments(group.times):
            for hour in range(since_us // HOUR_US, -(-until_us // HOUR_US)):
                by_hour[hour].add(hearers)
    counts: dict[int, int] = defaultdict(int)
    for heard in by_hour.values():
        counts[fewest(heard)] += 1
    return dict(sorted(counts.items()))


def fewest(heard: set[frozenset[str]]) -> int:
    """Return the size of the smallest group of gatherers of which one received at each of these times."""
    names = sorted(frozenset().union(*heard))
    for count in range(1, len(names)):
        if any(all(hearers & set(group) for hearers in heard) for group in combinations(names, count)):
            return count
    return len(names)
