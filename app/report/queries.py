"""Compute the figures of a day from production.

In: judgements, lives of markets, audits, and the rows themselves for their ages. Out: `PeriodFigures`. Only what is
judged, and still is as judged, counts: hours that go on, and markets of which something was learnt since, count as
pending. The work is bounded: one pass over the day's markets and holes, and a sample of its rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from app.coverage.evidence import BOOKS, CHANNELS, COMBO_LIFECYCLE, EXCHANGE_CHANNELS, SNAPSHOTS_US
from app.report.ages import AGE_CLASS
from app.report.contributions import contributions
from app.report.figures import (
    LISTED_HOLES,
    AuditFigures,
    ChannelFigures,
    HoleFigures,
    PeriodFigures,
)
from app.status.readings import Ask
from kalshi_data.layout import DAY

Ranges = list[tuple[datetime, datetime]]

KNOWN = """
    SELECT h.hour, h.known_until, h.hour >= z.books_since AS has_books
    FROM coverage_known AS h CROSS JOIN coverage_horizon AS z
    WHERE h.hour >= %(from)s AND h.hour < %(to)s ORDER BY h.hour
"""
RECORDING = "SELECT min(started_at) AS began, now() AS now FROM gatherer_runs"
KNOWN_TIMES = """
    known AS (
        SELECT coalesce(range_agg(tstzrange(since, until)), '{}') AS times
        FROM unnest(%(since)s::TIMESTAMPTZ[], %(until)s::TIMESTAMPTZ[]) AS range (since, until)
    )
"""
LENGTH = "extract(epoch FROM upper(part) - lower(part))"
# Of markets with a change that is not judged yet, the hours that it concerns are not known.
LIVES = f"""
    {KNOWN_TIMES},
    unjudged AS (
        SELECT u.ticker, range_agg(tstzrange(h.hour, h.hour + INTERVAL '1 hour')) AS times
        FROM coverage_known AS h JOIN coverage_market_changes AS u
            ON u.number > h.judged_number AND u.since < h.hour + INTERVAL '1 hour' AND u.until > h.hour
        WHERE h.hour >= %(from)s AND h.hour < %(to)s GROUP BY u.ticker
    ),
    open AS (
        SELECT ticker, greatest(open_time, %(from)s) AS opens, least(traded_until(close_time), %(to)s) AS closes
        FROM markets
        WHERE coalesce(open_time, '-infinity') < %(to)s
            AND (close_time IS NULL OR close_time > %(from)s::TIMESTAMPTZ - INTERVAL '1 second')
    ),
    life AS MATERIALIZED (
        SELECT
            ticker,
            tstzmultirange(tstzrange(opens, closes)) * known.times - coalesce(unjudged.times, '{{}}') AS times
        FROM open CROSS JOIN known LEFT JOIN unjudged USING (ticker) WHERE opens < closes
    )
"""  # noqa: S608 - constants, as below
BOOKS_OF_DAY = f"""
    WITH {LIVES},
    proof AS MATERIALIZED (
        SELECT ticker, coalesce(proven_until(ticker), '-infinity') AS until FROM life WHERE NOT isempty(times)
    ),
    parts AS (
        SELECT ticker, 'life' AS kind, times FROM life
        UNION ALL
        SELECT h.ticker, h.kind, tstzmultirange(tstzrange(h.since, h.until)) * life.times
        FROM coverage_holes AS h JOIN life USING (ticker)
        WHERE h.hour >= %(from)s AND h.hour < %(to)s AND h.channel = %(books)s
    )
    SELECT
        kind, count(DISTINCT ticker) AS markets, sum({LENGTH})::FLOAT AS seconds,
        coalesce(sum(extract(epoch FROM least(upper(part), proof.until) - lower(part)))
            FILTER (WHERE lower(part) < proof.until), 0)::FLOAT AS proven_seconds
    FROM parts JOIN proof USING (ticker) CROSS JOIN unnest(times) AS part GROUP BY kind
"""  # noqa: S608
HAS_COMBOS = """
    SELECT EXISTS (
        SELECT FROM markets WHERE mve_collection_ticker IS NOT NULL
            AND coalesce(open_time, '-infinity') < %(to)s AND coalesce(close_time, 'infinity') > %(from)s
    ) AS has_combos
"""
CHANNELS_OF_DAY = f"""
    WITH {KNOWN_TIMES},
    parts AS (
        SELECT channel, kind, tstzmultirange(tstzrange(since, until)) AS times FROM coverage_holes
        WHERE hour >= %(from)s AND hour < %(to)s AND ticker = ''
        UNION ALL
        SELECT channel, 'repaired', repaired FROM coverage WHERE hour >= %(from)s AND hour < %(to)s AND ticker = ''
    )
    SELECT channel, kind, sum({LENGTH})::FLOAT AS seconds
    FROM parts CROSS JOIN known CROSS JOIN unnest(parts.times * known.times) AS part GROUP BY channel, kind
"""  # noqa: S608
# Markets that lack about the same time are one outage.
OUTAGES = f"""
    WITH {LIVES},
    parts AS (
        SELECT h.channel, h.ticker, range_agg(tstzrange(h.since, h.until)) AS times
        FROM coverage_holes AS h
        WHERE h.hour >= %(from)s AND h.hour < %(to)s AND h.kind = 'outage' AND (h.channel = %(books)s) = %(of_books)s
        GROUP BY h.channel, h.ticker
    ),
    outages AS (
        SELECT channel, ticker, lower(part) AS since, upper(part) AS until
        FROM parts LEFT JOIN life USING (ticker) CROSS JOIN known
        CROSS JOIN unnest(parts.times * CASE WHEN %(of_books)s THEN life.times ELSE known.times END) AS part
    )
    SELECT
        channel, min(since) AS since, max(until) AS until,
        count(DISTINCT ticker) FILTER (WHERE ticker <> '') AS markets,
        (array_agg(ticker ORDER BY until - since DESC, ticker))[1] AS ticker
    FROM outages GROUP BY channel, date_bin('1 minute', since, 'epoch'), date_bin('1 minute', until, 'epoch')
    ORDER BY max(until) - min(since) DESC, since LIMIT {LISTED_HOLES}
"""  # noqa: S608
# Of each market that opened, how long its book was lacking from then on, also beyond the end of the hour.
OPENINGS = f"""
    WITH {LIVES},
    missing AS (
        SELECT ticker, range_agg(tstzrange(since, until)) AS times FROM coverage_holes
        WHERE hour >= %(from)s AND hour <= %(to)s AND channel = %(books)s AND kind <> 'unrecorded' GROUP BY ticker
    ),
    opened AS (
        SELECT o.open_time, (SELECT upper(part) FROM unnest(missing.times) AS part WHERE part @> o.open_time) AS until
        FROM markets AS o JOIN life USING (ticker) LEFT JOIN missing USING (ticker)
        WHERE o.open_time >= %(from)s AND o.open_time < %(to)s AND life.times @> o.open_time
    )
    SELECT {AGE_CLASS.format(age="coalesce(until - open_time, '0')")} AS age_class, count(*) AS openings
    FROM opened GROUP BY age_class
"""  # noqa: S608
AUDIT = """
    SELECT
        count(*) FILTER (WHERE began_then AND resolved_at IS NULL AND is_explained) AS explained,
        count(*) FILTER (WHERE began_then AND resolved_at IS NOT NULL) AS resolved,
        count(*) FILTER (WHERE began_then AND resolved_at IS NULL AND NOT is_explained) AS unexplained,
        count(*) FILTER (WHERE NOT began_then AND resolved_at IS NULL AND NOT is_explained) AS still_unexplained
    FROM audit_findings CROSS JOIN LATERAL (SELECT from_ts >= %(from)s AS began_then) AS beginning
    WHERE from_ts < %(to)s AND to_ts > %(from)s
"""


class KnownTimes(NamedTuple):
    """What is judged of a day."""

    channels: Ranges
    books: Ranges  # fewer where the evidence of books is deleted
    recorded_books: Ranges  # without what lies before the record began
    pending_seconds: float


def read_known(ask: Ask, day: datetime) -> KnownTimes:
    hours = ask(KNOWN, {"from": day, "to": day + DAY})
    (recording,) = ask(RECORDING, {})
    began = recording["began"] or recording["now"]
    channels, books = known_times(hours), known_times([hour for hour in hours if hour["has_books"]])
    passed = min(recording["now"], day + DAY) - max(began, day)
    pending = passed.total_seconds() - seconds_of(_since(began, channels))
    return KnownTimes(channels, books, _since(began, books), max(0.0, pending))


def day_figures(ask: Ask, day: datetime) -> PeriodFigures:
    """Return the figures of a day, as far as it is known."""
    known = read_known(ask, day)
    given = contributions(ask, known.recorded_books)
    return PeriodFigures(
        since=day,
        until=day + DAY,
        known_seconds=seconds_of(known.channels),
        pending_seconds=known.pending_seconds,
        books_known_seconds=seconds_of(known.books),
        channels=[*_books(ask, day, known.books), *channel_figures(ask, day, known.channels)],
        gatherers=given.gatherers,
        hours_needed=given.hours_needed,
        openings=opening_counts(ask, day, known.recorded_books),
        audit=AuditFigures(**ask(AUDIT, {"from": day, "to": day + DAY})[0]),
        holes=[*outages(ask, day, known.books, of_books=True), *outages(ask, day, known.channels, of_books=False)],
    )


def with_channels_of_now(ask: Ask, figures: PeriodFigures) -> PeriodFigures:
    """Return the figures of an earlier day with what is known now of the channels of the whole exchange: their evidence
    is kept longer than that of books, and more may have been learnt since."""
    day = figures.since
    known = read_known(ask, day)
    return msgspec.structs.replace(
        figures,
        known_seconds=seconds_of(known.channels),
        pending_seconds=known.pending_seconds,
        channels=[
            *(each for each in figures.channels if each.channel == BOOKS),
            *channel_figures(ask, day, known.channels),
        ],
        holes=[
            *(hole for hole in figures.holes if hole.channel == BOOKS),
            *outages(ask, day, known.channels, of_books=False),
        ],
    )


def known_times(hours: Sequence[Mapping[str, Any]]) -> Ranges:
    """Return the times that are known, joined where they touch."""
    found: Ranges = []
    for hour in hours:
        if found and found[-1][1] == hour["hour"]:
            found[-1] = (found[-1][0], hour["known_until"])
        else:
            found.append((hour["hour"], hour["known_until"]))
    return [(since, until) for since, until in found if since < until]


def _since(began: datetime, known: Ranges) -> Ranges:
    return [(max(since, began), until) for since, until in known if until > began]


def seconds_of(known: Ranges) -> float:
    return sum((until - since).total_seconds() for since, until in known)


def _asked(day: datetime, known: Ranges, **more: object) -> dict[str, object]:
    bounds = {"since": [since for since, _ in known], "until": [until for _, until in known]}
    return {"from": day, "to": day + DAY, "books": BOOKS, **bounds, **more}


def _books(ask: Ask, day: datetime, known: Ranges) -> Iterator[ChannelFigures]:
    found = {row["kind"]: row for row in ask(BOOKS_OF_DAY, _asked(day, known))} if known else {}
    if "life" not in found:
        return
    life = found.pop("life")
    lacking = sum(row["proven_seconds"] for row in found.values())
    seconds = {kind: row["seconds"] for kind, row in found.items()}
    yield ChannelFigures(
        channel=BOOKS,
        possible_seconds=life["seconds"] - seconds.get("unrecorded", 0.0),
        outage_seconds=seconds.get("outage", 0.0),
        opening_seconds=seconds.get("opening", 0.0),
        proven_seconds=life["proven_seconds"] - lacking,
        markets=life["markets"],
        outage_markets=found["outage"]["markets"] if "outage" in found else 0,
    )


def opening_counts(ask: Ask, day: datetime, known: Ranges) -> dict[int, int]:
    """Return how many of the markets that opened had no book for how long, by class."""
    return {row["age_class"]: row["openings"] for row in ask(OPENINGS, _asked(day, known))} if known else {}


def channel_figures(ask: Ask, day: datetime, known: Ranges) -> list[ChannelFigures]:
    """Return the figures of the channels that all markets share."""
    if not known:
        return []
    asked = _asked(day, known)
    found: dict[str, dict[str, float]] = {}
    for row in ask(CHANNELS_OF_DAY, asked):
        found.setdefault(row["channel"], {})[row["kind"]] = row["seconds"]
    combos = [COMBO_LIFECYCLE] if ask(HAS_COMBOS, asked)[0]["has_combos"] else []
    return [
        ChannelFigures(
            channel=channel,
            possible_seconds=seconds_of(known) - (missing := found.get(channel, {})).get("unrecorded", 0.0),
            outage_seconds=missing.get("outage", 0.0),
            repaired_seconds=missing.get("repaired", 0.0),
        )
        for channel in (*EXCHANGE_CHANNELS, *combos)
    ]


def outages(ask: Ask, day: datetime, known: Ranges, *, of_books: bool) -> Iterator[HoleFigures]:
    """Yield the longest outages of order books, or of the channels that all markets share."""
    for row in ask(OUTAGES, _asked(day, known, of_books=of_books)) if known else ():
        yield HoleFigures(**row, causes=causes(ask, row))


# Of each gatherer that was there about then, the first reason that is found. Losses and refusals of books last until
# the next snapshot, as app/coverage/evidence.py counts them. `h` is a hole, with ticker, since and until.
REASONS = """
    SELECT coalesce(json_agg(json_build_object('gatherer', g.gatherer, 'reason', coalesce(
        (
            SELECT 'gap: ' || string_agg(DISTINCT p.cause, ', ')
            FROM gatherer_subscriptions AS s JOIN gatherer_gaps AS p USING (gatherer, run_id, conn)
            WHERE s.gatherer = g.gatherer AND s.ticker = h.ticker AND s.channel = %(channel)s
                AND s.started_at < h.until AND coalesce(s.ended_at, 'infinity') > h.since
                AND (p.sid < 0 OR p.channel = %(channel)s)
                AND p.started_at < h.until AND coalesce(p.ended_at, 'infinity') > h.since
        ),
        (
            SELECT 'rows lost' FROM gatherer_losses AS l
            WHERE l.gatherer = g.gatherer AND l.table_name = ANY (%(tables)s)
                AND l.started_at < h.until AND l.ended_at + %(lasts)s > h.since LIMIT 1
        ),
        (
            SELECT 'rows refused' FROM gatherer_refusals AS f
            WHERE f.gatherer = g.gatherer AND f.table_name = ANY (%(tables)s) AND f.stored_at IS NULL
                AND f.ticker IN (h.ticker, '')
                AND f.started_at < h.until AND f.ended_at + %(lasts)s > h.since LIMIT 1
        ),
        CASE WHEN NOT EXISTS (
            SELECT FROM gatherer_runs AS r WHERE r.gatherer = g.gatherer
                AND r.started_at < h.until AND coalesce(r.ended_at, r.recorded_until) > h.since
        ) THEN 'not running' END,
        CASE WHEN NOT EXISTS (
            SELECT FROM gatherer_subscriptions AS s
            WHERE s.gatherer = g.gatherer AND s.ticker = h.ticker AND s.channel = %(channel)s
                AND s.started_at < h.until AND coalesce(s.ended_at, 'infinity') > h.since
        ) THEN 'not subscribed' END,
        'lacked a part of it'
    )) ORDER BY g.gatherer), '[]')
    FROM (
        SELECT gatherer FROM gatherer_runs AS r GROUP BY gatherer
        HAVING min(started_at) < h.until AND max(recorded_until) > h.since - INTERVAL '7 days'
    ) AS g
"""
IS_DISPROVED = """
    EXISTS (
        SELECT FROM audit_findings AS a WHERE a.ticker = h.ticker AND a.resolved_at IS NULL AND NOT a.is_explained
            AND a.from_ts < h.until AND a.to_ts > h.since
    )
"""
CAUSES = f"""
    SELECT {IS_DISPROVED} AS is_disproved, ({REASONS}) AS reasons
    FROM (SELECT %(ticker)s::TEXT AS ticker, %(since)s::TIMESTAMPTZ AS since, %(until)s::TIMESTAMPTZ AS until) AS h
"""  # noqa: S608


def reasons_of(channel: str) -> dict[str, object]:
    """Return the parameters of REASONS."""
    return {
        "channel": channel,
        "tables": [table for table, channels in CHANNELS.items() if channel in channels],
        "lasts": timedelta(microseconds=SNAPSHOTS_US if channel == BOOKS else 0),
    }


def causes(ask: Ask, hole: Mapping[str, Any]) -> list[str]:
    """Return why each gatherer lacks the hole."""
    (found,) = ask(
        CAUSES, {**reasons_of(hole["channel"]), **{name: hole[name] for name in ("ticker", "since", "until")}}
    )
    disproved = ["the audit disproved the book"] if found["is_disproved"] else []
    return disproved + [f"{each['gatherer']}: {each['reason']}" for each in found["reasons"]]
