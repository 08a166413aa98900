"""Up to when the record of a market is known, and what nobody heard of it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, NamedTuple

from marshmallow import fields

from admin.database import Database
from admin.problems import ProblemError

MOST_HOLES = 100
IS_MARKET = "SELECT TRUE FROM markets WHERE ticker = %(ticker)s"
KNOWN_UNTIL = "SELECT known_until(%(ticker)s)"
HOLES = """
    SELECT greatest(lower(hole), asked.since), least(upper(hole), asked.until)
    FROM (
        SELECT coalesce(%(from)s::TIMESTAMPTZ, '-infinity') AS since, coalesce(%(to)s::TIMESTAMPTZ, 'infinity') AS until
    ) AS asked
    CROSS JOIN readable.coverage CROSS JOIN LATERAL unnest(holes) AS hole
    WHERE ticker = %(ticker)s AND channel = %(channel)s
        AND hour > asked.since - INTERVAL '1 hour' AND hour < asked.until
        AND upper(hole) > asked.since AND lower(hole) < asked.until
    ORDER BY lower(hole) DESC LIMIT %(limit)s
"""

Hole = tuple[datetime, datetime]
KNOWN_FIELDS: dict[str, fields.Field[Any]] = {
    "known_until": fields.DateTime(
        required=True,
        allow_none=True,
        metadata={"description": "Later, rows may still come. null: nothing is known yet."},
    ),
    "holes": fields.List(
        fields.List(fields.DateTime()),
        required=True,
        metadata={"description": f"When nobody heard all of it, in the time asked for: the last {MOST_HOLES}."},
    ),
}


class Known(NamedTuple):
    """Of a market's channel."""

    known_until: datetime | None
    holes: list[Hole]

    def headers(self) -> dict[str, str]:
        """For answers that are rows and nothing else."""
        return {
            "Known-Until": self.known_until.isoformat() if self.known_until else "nothing is known yet",
            "Holes": ", ".join(f"{since.isoformat()}/{until.isoformat()}" for since, until in self.holes) or "none",
        }


def known_until(database: Database, ticker: str) -> datetime | None:
    (until,) = database.row(KNOWN_UNTIL, {"ticker": ticker}) or (None,)
    moment: datetime | None = until
    return moment


def known_of(database: Database, channel: str, asked: Mapping[str, Any]) -> Known:
    """Raises ProblemError where there is no such market: an empty list would look like one that never traded."""
    if database.row(IS_MARKET, {"ticker": asked["ticker"]}) is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"No market {asked['ticker']} is known.")
    wanted = {"ticker": asked["ticker"], "from": asked.get("from"), "to": asked.get("to")}
    holes = database.rows(HOLES, {**wanted, "channel": channel, "limit": MOST_HOLES})
    return Known(known_until(database, asked["ticker"]), [(since, until) for since, until in holes])


def knowable_time(database: Database, ticker: str, asked: datetime | None) -> datetime:
    """The time that was asked for, or the last one that is known. One that is not known yet is refused."""
    until = known_until(database, ticker)
    latest = until or datetime.now(UTC)
    if asked is not None and asked > latest:
        raise ProblemError(
            HTTPStatus.CONFLICT,
            f"Of {ticker} it is known until {latest.isoformat()}: ask for that time or an earlier one.",
            more={"known_until": until},
        )
    return asked or latest
