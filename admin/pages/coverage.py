"""Coverage on pages: the last day as a map of hours, and the holes of one cell of it.

In: the judged hours, the kinds of their holes, and how long markets were open. Out: cells with the share of the time
that is recorded, and rows that state who lacked what, and why.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from marshmallow import Schema, fields
from marshmallow.validate import OneOf

from admin.api.paging import asked_time
from admin.web.database import RequestDatabase
from app.coverage.evidence import BOOKS, COMBO_LIFECYCLE, LIFECYCLE, TICKERS, TRADES
from app.report.queries import IS_DISPROVED, REASONS, reasons_of
from app.report.words import SLIGHT_SHARE, per_cent
from app.status.verdict import age_words
from kalshi_data.layout import HOUR, hour_of

CHANNELS = {BOOKS: "Order books", TRADES: "Trades", TICKERS: "Tickers", LIFECYCLE: "Lifecycle"}
CHANNEL_NAMES = {**CHANNELS, COMBO_LIFECYCLE: "Lifecycle of combos"}
BAND_HOURS = 8
SHOWN_HOLES = 200

HOURS = """
    SELECT hour, known_until
    FROM generate_series(
        date_trunc('hour', %(until)s::TIMESTAMPTZ) - (%(hours)s - 1) * INTERVAL '1 hour', %(until)s, '1 hour'
    ) AS hour
    LEFT JOIN coverage_known USING (hour) ORDER BY hour
"""
# Every hole, and what was repaired of one.
PARTS = """
    SELECT hour, channel, ticker, kind, since, until, repaired_by FROM coverage_holes
    UNION ALL
    SELECT hour, channel, ticker, 'repaired', lower(part), upper(part), repaired_by
    FROM coverage CROSS JOIN unnest(repaired) AS part
"""
EXCEPTIONS = f"""
    SELECT
        date_bin(%(length)s, hour, 'epoch'), channel, kind, count(DISTINCT ticker),
        extract(epoch FROM sum(until - since))::FLOAT
    FROM ({PARTS}) AS found
    WHERE hour >= %(from)s AND hour < %(to)s GROUP BY 1, channel, kind
"""  # noqa: S608
# One pass over the markets, however many hours are shown: their lives by the hours in which they begin and end.
LIVES = """
    SELECT
        date_bin(%(length)s, opens, 'epoch') AS opens_hour, date_bin(%(length)s, closes, 'epoch') AS closes_hour,
        count(*) AS markets,
        extract(epoch FROM sum(opens - date_bin(%(length)s, opens, 'epoch')))::FLOAT AS before_seconds,
        extract(epoch FROM sum(closes - date_bin(%(length)s, closes, 'epoch')))::FLOAT AS until_seconds
    FROM (
        SELECT greatest(open_time, %(from)s) AS opens, least(traded_until(close_time), %(to)s) AS closes
        FROM markets
        WHERE coalesce(open_time, '-infinity') < %(to)s
            AND (close_time IS NULL OR close_time > %(from)s::TIMESTAMPTZ - INTERVAL '1 second')
    ) AS life
    WHERE opens < closes GROUP BY 1, 2
"""
KINDS = ("outage", "opening", "repaired", "unrecorded")


class LifeGroup(NamedTuple):
    """Markets that opened and closed in the same hours, with the seconds of these hours before and until then."""

    opens_hour: datetime
    closes_hour: datetime
    markets: int
    before_seconds: float
    until_seconds: float


def market_seconds(lives: Iterable[LifeGroup], hour: datetime, length: timedelta = HOUR) -> float:
    """Return for how long markets were open in the hour, or in another length of time, in sum."""
    total = 0.0
    for life in lives:
        if life.opens_hour <= hour <= life.closes_hour:
            total += life.until_seconds if hour == life.closes_hour else length.total_seconds() * life.markets
            total -= life.before_seconds if hour == life.opens_hour else 0.0
    return total


class MissingTime(NamedTuple):
    """What is missing of an hour in one way."""

    markets: int = 0
    seconds: float = 0.0


class Cell(NamedTuple):
    """One hour of a channel, or another length of time."""

    hour: datetime
    channel: str
    known_until: datetime | None
    seconds: float  # which could be recorded, as far as the hour is known: of all markets, or of the exchange
    missing: Mapping[str, MissingTime]  # by kind
    is_before: bool = False  # the whole hour is before the record began
    length: timedelta = HOUR

    @property
    def recorded_seconds(self) -> float:
        return max(0.0, self.seconds - self._of("unrecorded"))

    @property
    def share(self) -> float | None:
        """Return the part of the time that is recorded, or None if nothing could be. Repaired time is recorded."""
        lacking = self._of("outage") + self._of("opening")
        if not self.recorded_seconds:
            return None
        return max(0.0, 1 - lacking / self.recorded_seconds)

    @property
    def state(self) -> str:
        """Return the state that decides the colour. Openings alone leave an hour complete."""
        if "outage" in self.missing:
            lost = self._of("outage") / self.recorded_seconds if self.recorded_seconds else 1.0
            return "slight" if 1 - lost >= SLIGHT_SHARE else "hole"
        if self.is_before or ("unrecorded" in self.missing and not self.recorded_seconds):
            return "unrecorded"
        if self.known_until != self.hour + self.length:
            return "pending"
        return "repaired" if "repaired" in self.missing else "complete"

    @property
    def figure(self) -> str:
        if self.state == "unrecorded" or self.share is None:
            return "✕" if "outage" in self.missing else "·" if self.state == "pending" else ""
        return per_cent(self.share)

    @property
    def text(self) -> str:
        of_what = "of market-seconds" if self.channel == BOOKS else "of the time"
        share = "" if self.share is None or self.state == "unrecorded" else f", {per_cent(self.share)} % {of_what}"
        parts = [f"{self.missing[kind].markets} {WORDS[kind]} ({self._length(kind)})" for kind in self._listed()]
        if self.channel != BOOKS:
            parts = [f"{WORDS[kind]} {self._length(kind)}" for kind in self._listed()]
        if self.state == "pending":
            parts.append("not known to its end yet")
        if self.is_before or "unrecorded" in self.missing:
            parts.append("before the record began" if self.is_before else "the record began in this hour")
        begins = f"{self.hour:%d %b %H:%M}" if self.length == HOUR else f"{self.hour:%d %b}"
        title = f"{begins} {CHANNEL_NAMES[self.channel]}{share}"
        return f"{title}: {'; '.join(parts)}" if parts else title

    def _listed(self) -> list[str]:
        return [kind for kind in ("outage", "opening", "repaired") if kind in self.missing]

    def _of(self, kind: str) -> float:
        return self.missing[kind].seconds if kind in self.missing else 0.0

    def _length(self, kind: str) -> str:
        return age_words(self._of(kind))


WORDS = {"outage": "in outages", "opening": "just opened", "repaired": "repaired"}


def heat_map(
    hours: Sequence[tuple[datetime, datetime | None]],
    exceptions: Iterable[tuple[datetime, str, str, int, float]],
    lives: Sequence[LifeGroup],
    channels: Iterable[str] = CHANNELS,
) -> dict[str, list[Cell]]:
    """Return the cells by channel. Return {} if no hour is known.

    `hours` are given with the time up to which each is known, None if nothing is known of it.
    """
    known = {hour: until for hour, until in hours if until is not None}
    missing: dict[tuple[str, datetime], dict[str, MissingTime]] = {}
    for hour, channel, kind, markets, seconds in exceptions:
        missing.setdefault((channel, hour), {})[kind] = MissingTime(markets, seconds)
    if not known:
        return {}
    last = max(known)

    def cell(channel: str, hour: datetime) -> Cell:
        until = known.get(hour)
        seconds = 0.0 if until is None else (until - hour).total_seconds()
        if channel == BOOKS:
            # The lives of markets are counted until the last known time, and not cut where an earlier hour is unknown.
            seconds = market_seconds(lives, hour) * (1.0 if hour == last else seconds / HOUR.total_seconds())
        return Cell(hour, channel, until, seconds, missing.get((channel, hour), {}), hour < min(known))

    return {channel: [cell(channel, hour) for hour, _ in hours] for channel in channels}


def cells_until(
    database: RequestDatabase, until: datetime, count: int, channels: Iterable[str]
) -> dict[str, list[Cell]]:
    """Return the cells of so many hours up to a time, by channel."""
    hours = database.rows(HOURS, {"until": until, "hours": count})
    known = [moment for _, moment in hours if moment is not None]
    if not known:
        return {}
    period = {"from": hours[0][0], "to": hours[-1][0] + HOUR, "length": HOUR}
    lives = [LifeGroup(*row) for row in database.rows(LIVES, {**period, "to": max(known)})]
    return heat_map(hours, database.rows(EXCEPTIONS, period), lives, channels)


def bands(cells: Mapping[str, list[Cell]]) -> list[dict[str, list[Cell]]]:
    """Return the map in parts that fit beside or below each other, the oldest first."""
    count = max((len(row) for row in cells.values()), default=0)
    return [
        {channel: row[start : start + BAND_HOURS] for channel, row in cells.items()}
        for start in range(0, count, BAND_HOURS)
    ]


# The holes of one cell.

CellQuery = Schema.from_dict(
    {
        "hour": asked_time(required=True),
        "channel": fields.String(required=True, validate=OneOf(list(CHANNEL_NAMES))),
    },
    name="cell_query",
)
HOLES = f"""
    WITH holes AS (
        SELECT ticker, kind, since, until, repaired_by FROM ({PARTS}) AS part
        WHERE hour = %(hour)s AND channel = %(channel)s
    ),
    shown AS (
        SELECT *, count(*) OVER () AS holes FROM holes
        ORDER BY array_position(ARRAY['outage', 'repaired', 'opening'], kind), until - since DESC, ticker
        LIMIT %(limit)s
    )
    SELECT
        h.*, extract(epoch FROM h.until - h.since)::FLOAT AS seconds, {IS_DISPROVED} AS is_disproved,
        ({REASONS}) AS reasons
    FROM shown AS h
    ORDER BY array_position(ARRAY['outage', 'repaired', 'opening'], h.kind), h.until - h.since DESC, h.ticker
"""  # noqa: S608


def holes_of_cell(database: RequestDatabase, hour: datetime, channel: str) -> dict[str, Any]:
    """Return what the page of an hour of a channel shows."""
    hour = hour_of(hour)
    asked = {"hour": hour, "limit": SHOWN_HOLES, **reasons_of(channel)}
    cells = cells_until(database, hour + HOUR - timedelta(microseconds=1), 1, [channel])
    return {
        "hour": hour,
        "channel": channel,
        "name": CHANNEL_NAMES[channel],
        "cell": cells[channel][0] if cells else None,
        "holes": database.dicts(HOLES, asked),
        "shown_holes": SHOWN_HOLES,
    }
