"""The figures of finished days, kept in production, and the report of a time made of them.

A finished day is computed once, after the last snapshots that may prove its books, and again if something is learnt
that concerns it. Production forgets the evidence of books; the figures of the days before stay as they were.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from app.postgres.connection import Connection
from app.report.ages import day_ages
from app.report.figures import PeriodFigures, combined
from app.report.queries import RECORDING, day_figures, with_channels_of_now
from app.status.readings import Ask
from kalshi_data.layout import DAY, day_of

# Every book is requested once more within six hours: by then the last changes of a day are proven, or never will be.
PROVEN_AFTER = timedelta(hours=7)
# Rows that are compressed a week later do not tell any more when they were stored.
AGES_KNOWN_FOR = timedelta(days=3)
# A day that is judged again every minute is not computed as often.
PAUSE = timedelta(hours=1)

EVIDENCE = """
    SELECT md5(string_agg(concat_ws(' ', h.hour, h.known_until, h.judged_at, h.is_settled), ',' ORDER BY h.hour))
    FROM coverage_known AS h WHERE h.hour >= day AND h.hour < day + INTERVAL '1 day'
"""
STORED = f"""
    SELECT q.day, q.figures::TEXT AS figures, q.evidence = ({EVIDENCE}) AS is_of_now, day < books_since AS is_final
    FROM quality_days AS q CROSS JOIN coverage_horizon WHERE day >= %(from)s AND day < %(to)s
"""  # noqa: S608 - constants, as below
# Days of which something is known, and whose evidence is whole: hours that are judged no more say nothing of books.
DUE = f"""
    SELECT day FROM (
        SELECT DISTINCT date_bin('1 day', hour, 'epoch') AS day FROM coverage_hours
    ) AS days
    CROSS JOIN coverage_horizon LEFT JOIN quality_days AS q USING (day)
    WHERE day >= books_since AND day + INTERVAL '1 day' + %(after)s <= now()
        AND q.evidence IS DISTINCT FROM ({EVIDENCE}) AND coalesce(q.computed_at < now() - %(pause)s, TRUE)
        AND NOT EXISTS (
            -- An hour that is judged again and again is waited for, but not for ever.
            SELECT FROM coverage_known AS h WHERE h.hour >= day AND h.hour < day + INTERVAL '1 day'
                AND NOT h.is_settled AND h.hour > now() - INTERVAL '2 days'
        )
    ORDER BY day LIMIT 1
"""  # noqa: S608
KEEP = f"""
    INSERT INTO quality_days (day, figures, evidence)
    SELECT day, %(figures)s, ({EVIDENCE}) FROM (SELECT %(day)s::TIMESTAMPTZ) AS given (day)
    ON CONFLICT (day) DO UPDATE SET figures = excluded.figures, evidence = excluded.evidence, computed_at = now()
"""  # noqa: S608


class QualityReport(msgspec.Struct, frozen=True):
    """The report of a time: its days, and all of them together."""

    total: PeriodFigures
    days: list[PeriodFigures]


def report_of(ask: Ask, since: datetime, until: datetime) -> QualityReport | None:
    """Return the report of the days from `since` until `until`. Return None if none of them was recorded."""
    ((first, now),) = (row.values() for row in ask(RECORDING, {}))
    if first is None:
        return None
    kept = {row["day"]: row for row in ask(STORED, {"from": since, "to": until})}
    days = [_figures_of(ask, day, now, kept.get(day)) for day in _days(max(since, first), min(until, now))]
    return QualityReport(combined(days), days) if days else None


def _figures_of(ask: Ask, day: datetime, now: datetime, kept: Mapping[str, Any] | None) -> PeriodFigures:
    """Return the kept figures of a day if they still hold, or what can be said of it now."""
    if kept is None:
        return computed(ask, day, now)
    figures = msgspec.json.decode(kept["figures"], type=PeriodFigures)
    if kept["is_of_now"]:
        return figures
    return with_channels_of_now(ask, figures) if kept["is_final"] else computed(ask, day, now, figures)


def computed(ask: Ask, day: datetime, now: datetime, before: PeriodFigures | None = None) -> PeriodFigures:
    """Return a day's figures. Ages that cannot be measured any more are those that were measured before."""
    figures = day_figures(ask, day)
    ages = list(day_ages(ask, day)) if now - day - DAY < AGES_KNOWN_FOR else before.ages if before else []
    return msgspec.structs.replace(figures, ages=ages)


def keep_next_day(ask: Ask, connection: Connection) -> datetime | None:
    """Compute and keep the figures of one finished day that are missing or old. Return the day, or None."""
    with connection, connection.cursor() as cursor:
        # Figures and the digest of what they are made of belong together.
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        due = ask(DUE, {"after": PROVEN_AFTER, "pause": PAUSE})
        if not due:
            return None
        day: datetime = due[0]["day"]
        (now,) = ask("SELECT now()", {})[0].values()
        kept = ask(STORED, {"from": day, "to": day + DAY})
        before = msgspec.json.decode(kept[0]["figures"], type=PeriodFigures) if kept else None
        figures = computed(ask, day, now, before)
        cursor.execute(KEEP, {"day": day, "figures": msgspec.json.encode(figures).decode()})
    return day


def _days(since: datetime, until: datetime) -> Iterator[datetime]:
    day = day_of(since)
    while day < until:
        yield day
        day += DAY
