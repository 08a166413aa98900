"""How complete the record is, by the judgements of coverage/: holes with their bounds, and up to when that is known."""

from datetime import datetime
from typing import Any, NamedTuple

from kalshi_data.layout import HOUR, hours_between
from kalshi_data.order_book import Knowledge
from kalshi_data.times import ALWAYS, EARLIEST, LATEST, Interval, Intervals, gaps, merged, overlap

WHOLE_EXCHANGE = ""  # the ticker of the channels that concern all markets
BOOKS, TRADES, TICKERS = "orderbook_delta", "trade", "ticker"


class Coverage(NamedTuple):
    """The completeness of a period of one channel.

    `state` is `complete`, `repaired`, `hole` if any part is a hole, or `unknown` if any part is not judged.
    """

    channel: str
    state: str
    holes: Intervals
    unknown: Intervals  # the lake has no judgement of these yet
    repaired: Intervals
    repaired_by: tuple[str, ...]
    known_until: datetime | None  # None: nothing is known
    closed: Intervals = ()  # of the book of one market: when it was not open, and nothing of it is certain

    def at(self, moment: datetime) -> Knowledge:
        """Return what is known of one moment of the period."""
        hole = next(((since, until) for since, until in self.holes if since <= moment < until), None)
        if hole:
            return Knowledge("hole", self.known_until, hole)
        is_unknown = any(since <= moment < until for since, until in (*self.unknown, *self.closed))
        is_known = self.known_until is not None and moment <= self.known_until and not is_unknown
        return Knowledge("complete" if is_known else "unknown", self.known_until)

    def attributes(self) -> dict[str, Any]:
        """Return it as pandas' attrs keep it: times as text, so that frames can be stored."""
        return {
            "coverage": self.state,
            "holes": _texts(self.holes),
            "unknown": _texts(self.unknown),
            "repaired": _texts(self.repaired),
            "known_until": self.known_until and self.known_until.isoformat(),
        }


def _texts(intervals: Intervals) -> list[list[str]]:
    return [[since.isoformat(), until.isoformat()] for since, until in intervals]


class Asked(NamedTuple):
    """A channel whose judgements are wanted, and of which markets. None: of all, those that are not complete."""

    channel: str
    tickers: list[str] | None


def judgements_for(channel: str, tickers: list[str] | None) -> list[Asked]:
    """Return what coverage_from() needs. Trades and quotes are received for the whole exchange; of books, that of the
    markets counts, and with None that of all of them."""
    if channel != BOOKS:
        return [Asked(channel, [WHOLE_EXCHANGE])]
    # Which hours are judged at all is known from the whole exchange's.
    return [Asked(BOOKS, None if tickers is None else [*tickers, WHOLE_EXCHANGE]), Asked(TRADES, [WHOLE_EXCHANGE])]


def coverage_from(found: list[dict[str, Any]], channel: str, period: Interval, *, is_one_market: bool) -> Coverage:
    """Return the completeness of a channel by the judgements, which are rows with the columns of coverage/."""
    rows = [row for row in found if row["channel"] == channel]
    judged = [row for row in found if row["channel"] != BOOKS]
    if not judged:
        return Coverage(channel, "unknown", (), () if period == ALWAYS else (period,), (), (), None)
    known_until = max(row["known_until"] for row in judged)
    bounded = _bounded(period, judged)
    unknown = _unknown(judged, rows, bounded)
    closed = _closed(rows, bounded) if channel == BOOKS and is_one_market else ()
    holes = overlap(merged([hole for row in rows for hole in _pairs(row, "holes")]), period)
    repaired = overlap(merged([each for row in rows for each in _pairs(row, "repaired")]), period)
    state = "hole" if holes else "unknown" if unknown else "repaired" if repaired else "complete"
    names = sorted({name for row in rows for name in row["repaired_by"]})
    return Coverage(channel, state, holes, unknown, repaired, tuple(names), known_until, closed)


def _pairs(row: dict[str, Any], name: str) -> list[Interval]:
    return list(zip(row[f"{name}_from"], row[f"{name}_until"], strict=True))


def _unknown(judged: list[dict[str, Any]], rows: list[dict[str, Any]], period: Interval) -> Intervals:
    """Return the hours of the period without a judgement, and the parts of hours that it does not reach yet."""
    hours = {row["hour_start"] for row in judged}
    missing = [(hour, hour + HOUR) for hour in hours_between(*period) if hour not in hours]
    pending = [
        (max(row["since"], row["known_until"]), row["until"]) for row in rows if row["known_until"] < row["until"]
    ]
    return overlap(merged(missing + pending), period)


def _closed(rows: list[dict[str, Any]], period: Interval) -> Intervals:
    """Return when the market was not open."""
    lives = merged([(row["since"], row["until"]) for row in rows if row["ticker"] != WHOLE_EXCHANGE])
    return gaps(lives, period)


def _bounded(period: Interval, judged: list[dict[str, Any]]) -> Interval:
    """Return the period; a bound that nobody named is that of the judged hours."""
    hours = [row["hour_start"] for row in judged]
    since = min(hours) if period[0] == EARLIEST else period[0]
    until = max(hours) + HOUR if period[1] == LATEST else period[1]
    return since, max(since, until)
