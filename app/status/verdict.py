"""Decide whether everything is all right: one sentence, a level, and the worst problem with its remedy.

In: facts read from production. Out: a `StatusVerdict`. Times are rounded so that the sentence never claims more than is
known: completeness down, ages up.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from typing import NamedTuple

import msgspec

from kalshi_data.layout import HOUR

# A gatherer updates its run every second or so, and production reads that as often.
AWAY_SECONDS = 60.0
LAG_AMBER_SECONDS, LAG_RED_SECONDS = 60.0, 3_600.0
# Coverage waits ten minutes for a gatherer out of contact, and judges a few minutes at once.
JUDGED_AMBER_SECONDS = 900.0
RECENT_OUTAGE_SECONDS = 3_600.0
# A claim may end this long before the latest known time, at the last hour that is not known to its end.
SKIPPED_MAX = timedelta(hours=2)


class Level(IntEnum):
    GREEN = 0
    AMBER = 1
    RED = 2


class GathererFacts(NamedTuple):
    """A gatherer's latest run as production knows it; None: production knows none."""

    name: str
    recorded_until: datetime | None = None
    delivered_until: datetime | None = None
    contacted_at: datetime | None = None  # when production last read its database
    has_ended: bool = False

    def is_recording(self, now: datetime) -> bool:
        return not self.has_ended and _seconds(now, self.recorded_until) < AWAY_SECONDS


class Stretch(NamedTuple):
    """The time for which the record is complete, up to the last known moment. Empty: a hole lasts until then."""

    since: datetime
    until: datetime
    has_openings: bool = False  # markets that opened then have no book until their first snapshot


class Outage(NamedTuple):
    """The outage that ended last."""

    hour: datetime
    channel: str
    ticker: str  # empty: the whole exchange
    since: datetime
    until: datetime
    markets: int = 1  # with an outage within the hour before its end


class FailingCursor(NamedTuple):
    gatherer: str
    table: str
    failure: str


class StatusFacts(NamedTuple):
    """Everything that the verdict depends on."""

    now: datetime
    gatherers: Sequence[GathererFacts] = ()
    markets: int = 0  # whose books a recording gatherer is subscribed to
    complete: Stretch | None = None  # None: nothing is known yet
    outage: Outage | None = None
    failing: FailingCursor | None = None
    findings: int = 0  # books that could not be rebuilt, unexplained
    failing_exports: int = 0
    quarantined: int = 0
    quotes_until: datetime | None = None  # books were compared with all quotes received before; None: never yet

    def recording(self) -> list[GathererFacts]:
        return [each for each in self.gatherers if each.is_recording(self.now)]

    @property
    def proven_until(self) -> datetime | None:
        """Return the time up to which it is known what was received, and quotes were compared with the books."""
        if self.complete is None or self.quotes_until is None:
            return self.complete and self.complete.until
        return min(self.complete.until, self.quotes_until)


class Trouble(NamedTuple):
    level: Level
    problem: str
    remedy: str  # code is between backticks
    page: str  # where it is shown


class StatusVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `problem`, `remedy` and `page` are None if the level is green."""

    level: str
    sentence: str
    problem: str | None
    remedy: str | None
    page: str | None
    markets: int
    gatherers: int
    gatherers_recording: int
    complete_since: datetime | None
    proven_until: datetime | None
    merged_until: datetime | None


def verdict_of(facts: StatusFacts) -> StatusVerdict:
    troubles = [trouble for check in CHECKS if (trouble := check(facts))]
    # The first of the worst: checks are in the order in which one causes the next.
    worst = max(troubles, key=lambda trouble: trouble.level, default=None)
    complete = facts.complete
    return StatusVerdict(
        level=(worst.level if worst else Level.GREEN).name.lower(),
        sentence=" · ".join(_clauses(facts)),
        problem=worst.problem if worst else None,
        remedy=worst.remedy if worst else None,
        page=worst.page if worst else None,
        markets=facts.markets,
        gatherers=len(facts.gatherers),
        gatherers_recording=len(facts.recording()),
        complete_since=complete.since if complete and complete.since < complete.until else None,
        proven_until=facts.proven_until,
        merged_until=_merged_until(facts),
    )


def _clauses(facts: StatusFacts) -> Iterator[str]:
    recording = facts.recording()
    yield f"Recording {facts.markets:,} {_plural('market', facts.markets)}" if recording else "Not recording"
    yield f"{len(recording)} of {len(facts.gatherers)} {_plural('gatherer', len(facts.gatherers))}"
    if facts.complete is None:
        yield "nothing proven yet"
    else:
        yield _completeness(facts.complete)
        yield f"proven up to {age_words(_seconds(facts.now, facts.proven_until))} ago"
    merged_until = _merged_until(facts)
    yield f"merged {age_words(_seconds(facts.now, merged_until))} behind" if merged_until else "nothing merged yet"


def _completeness(complete: Stretch) -> str:
    if complete.since >= complete.until:
        return f"incomplete at {complete.until:%H:%M:%S}"
    openings = ", openings apart" if complete.has_openings else ""
    return f"complete for {duration_words((complete.until - complete.since).total_seconds())}{openings}"


def _merged_until(facts: StatusFacts) -> datetime | None:
    """Return the time up to which production has everything of each recording gatherer; of all if none records."""
    concerned = facts.recording() or facts.gatherers
    delivered = [each.delivered_until for each in concerned if each.delivered_until]
    if facts.recording() and len(delivered) < len(concerned):
        return None
    return min(delivered) if facts.recording() else max(delivered, default=None)


def _seconds(now: datetime, moment: datetime | None) -> float:
    """Return how long ago a moment was, at least 0; infinity if there was none."""
    return math.inf if moment is None else max(0.0, (now - moment).total_seconds())


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


# What can be wrong. Each check returns its trouble, or None.


def _nothing_recorded(facts: StatusFacts) -> Trouble | None:
    if any(each.recorded_until for each in facts.gatherers):
        return None
    remedy = "Start a gatherer, and the deduplicator; `kalshi-data doctor` names what is missing."
    return Trouble(Level.AMBER, "No gatherer has delivered anything yet.", remedy, "/#gatherers")


def _not_followed(facts: StatusFacts) -> Trouble | None:
    contacts = [each.contacted_at for each in facts.gatherers if each.contacted_at]
    silent_seconds = _seconds(facts.now, max(contacts, default=None))
    if not contacts or silent_seconds < AWAY_SECONDS:
        return None
    problem = f"The deduplicator has read no gatherer for {age_words(silent_seconds)}: nothing here is newer."
    return Trouble(Level.RED, problem, "`systemctl status kalshi-deduplicator`, and its log.", "/#gatherers")


def _nobody_records(facts: StatusFacts) -> Trouble | None:
    known = [each.recorded_until for each in facts.gatherers if each.recorded_until]
    if not known or facts.recording():
        return None
    problem = f"No gatherer has recorded for {age_words(_seconds(facts.now, max(known)))}: what happens now is lost."
    return Trouble(Level.RED, problem, "`systemctl status kalshi-gatherer` on each gatherer's host.", "/#gatherers")


def _findings(facts: StatusFacts) -> Trouble | None:
    if not facts.findings:
        return None
    differ = "book differs" if facts.findings == 1 else "books differ"
    problem = f"{facts.findings:,} rebuilt {differ} from the exchange's, and no hole explains it."
    return Trouble(Level.RED, problem, "Compare the gatherers' rows: AuditFinding in the runbook.", "/#audit")


def _lag(facts: StatusFacts) -> Trouble | None:
    behind_seconds = _seconds(facts.now, _merged_until(facts))
    if not facts.recording() or behind_seconds < LAG_AMBER_SECONDS:
        return None
    level = Level.RED if LAG_RED_SECONDS <= behind_seconds < math.inf else Level.AMBER
    behind = f"is {age_words(behind_seconds)} behind" if behind_seconds < math.inf else "has nothing yet of a gatherer"
    return Trouble(
        level, f"Production {behind}.", "`journalctl -u kalshi-deduplicator`: MergeLag in the runbook.", "/#production"
    )


def _no_book(facts: StatusFacts) -> Trouble | None:
    if facts.markets or not facts.recording():
        return None
    remedy = "Wait for the first walk over all markets: `/ready` of a gatherer's ops port states what it waits for."
    return Trouble(Level.AMBER, "No gatherer is subscribed to an order book yet.", remedy, "/#gatherers")


def _gatherer_away(facts: StatusFacts) -> Trouble | None:
    away = [each for each in facts.gatherers if not each.is_recording(facts.now)]
    if not away or not facts.recording():
        return None
    more = f", and {len(away) - 1} more" if len(away) > 1 else ""
    first = away[0]
    did = "has delivered nothing yet"
    if first.recorded_until:
        did = f"has not recorded for {age_words(_seconds(facts.now, first.recorded_until))}"
    remedy = "`systemctl status kalshi-gatherer` on its host. The others record on."
    return Trouble(Level.AMBER, f"{first.name}{more} {did}.", remedy, "/#gatherers")


def _failing_cursor(facts: StatusFacts) -> Trouble | None:
    if facts.failing is None:
        return None
    problem = f"{facts.failing.table} of {facts.failing.gatherer} cannot be merged: {facts.failing.failure}"
    return Trouble(Level.AMBER, problem, "`kalshi-data doctor` on the deduplicator's host.", "/#production")


def _recent_outage(facts: StatusFacts) -> Trouble | None:
    outage = facts.outage
    if outage is None or _seconds(facts.now, outage.until) > RECENT_OUTAGE_SECONDS:
        return None
    is_going_on = facts.complete is not None and outage.until >= facts.complete.until
    level = Level.RED if not outage.ticker and is_going_on else Level.AMBER
    remedy = "The hole names who lacked what, and why."
    return Trouble(
        level, _described(outage), remedy, f"/coverage?hour={outage.hour:%Y-%m-%dT%H}:00Z&channel={outage.channel}"
    )


def _described(outage: Outage) -> str:
    if outage.ticker and outage.markets > 1:
        return f"{outage.markets:,} markets had outages within an hour, the last one until {outage.until:%H:%M:%S}."
    what = f"The book of {outage.ticker}" if outage.ticker else f"Channel {outage.channel}"
    length = age_words((outage.until - outage.since).total_seconds())
    return f"{what} was not received from {outage.since:%H:%M:%S} on, for {length}."


def _not_judged(facts: StatusFacts) -> Trouble | None:
    if facts.complete is None:
        problem, remedy = "Nothing is proven yet.", "Wait: coverage is judged about once a minute after the first rows."
        return Trouble(Level.AMBER, problem, remedy, "/#coverage")
    behind_seconds = _seconds(facts.now, facts.complete.until)
    if behind_seconds < JUDGED_AMBER_SECONDS:
        return None
    remedy = "`journalctl -u kalshi-deduplicator`: CoverageBehind in the runbook."
    return Trouble(Level.AMBER, f"Coverage has not been judged for {age_words(behind_seconds)}.", remedy, "/#coverage")


def _not_compared(facts: StatusFacts) -> Trouble | None:
    behind_seconds = 0.0 if facts.quotes_until is None else _seconds(facts.now, facts.quotes_until)
    if behind_seconds < JUDGED_AMBER_SECONDS:
        return None
    problem = f"Books have not been compared with quotes for {age_words(behind_seconds)}."
    return Trouble(Level.AMBER, problem, "`journalctl -u kalshi-deduplicator`: the audit by quotes.", "/#audit")


def _failing_exports(facts: StatusFacts) -> Trouble | None:
    if not facts.failing_exports:
        return None
    problem = f"{facts.failing_exports:,} {_plural('hour', facts.failing_exports)} could not be written to the lake."
    return Trouble(Level.AMBER, problem, "`kalshi-data lake status` names the reason.", "/admin/exports?failing=true")


def _quarantine(facts: StatusFacts) -> Trouble | None:
    if not facts.quarantined:
        return None
    problem = f"{facts.quarantined:,} {_plural('row', facts.quarantined)} in quarantine: somebody has to look."
    return Trouble(
        Level.AMBER, problem, "`POST /admin/quarantine/{id}/retry` once the cause is mended.", "/admin/quarantine"
    )


CHECKS: tuple[Callable[[StatusFacts], Trouble | None], ...] = (
    *(_nothing_recorded, _not_followed, _nobody_records, _findings, _lag, _no_book, _gatherer_away, _failing_cursor),
    *(_recent_outage, _not_judged, _not_compared, _failing_exports, _quarantine),
)


# The time for which the record is complete.


class KnownHour(NamedTuple):
    """An hour, and up to when it is known what was received in it."""

    hour: datetime
    known_until: datetime


def known_stretch(hours: Sequence[KnownHour]) -> Stretch | None:
    """Return the latest time that is known without interruption, from ascending hours. None: nothing is known.

    An hour that is over is known to its end only a moment after the next one begins to be known: the stretch then ends
    in the hour that is over. After an older interruption, the stretch begins instead.
    """
    stretches: list[Stretch] = []
    for hour, known_until in reversed(hours):
        last = stretches[-1] if stretches else None
        if last is not None and hour + HOUR != last.since:
            break
        if last is not None and known_until == last.since:
            stretches[-1] = last._replace(since=hour)
        elif stretches and known_until < stretches[0].until - SKIPPED_MAX:
            break
        elif stretches or known_until > hour:
            stretches.append(Stretch(hour, known_until))
    return next((each for each in reversed(stretches) if each.since < each.until), None)


def complete_stretch(known: Stretch, incomplete_until: datetime | None, *, has_openings: bool) -> Stretch:
    """Return the part of the known time since the last hole that begins in it."""
    since = max(known.since, incomplete_until or known.since)
    return Stretch(min(since, known.until), known.until, has_openings)


# Durations in words.

MINUTE_SECONDS, HOUR_SECONDS, DAY_SECONDS = 60, 3_600, 86_400


def duration_words(seconds: float) -> str:
    """Return the duration in one or two units, rounded down."""
    if seconds < 10:
        return f"{math.floor(seconds * 10) / 10:.1f} s"
    whole = math.floor(seconds)
    if whole < 2 * MINUTE_SECONDS:
        return f"{whole} s"
    if whole < HOUR_SECONDS:
        return f"{whole // MINUTE_SECONDS} min"
    if whole < DAY_SECONDS:
        return _two(whole, HOUR_SECONDS, "h", MINUTE_SECONDS, "min")
    return _two(whole, DAY_SECONDS, "d", HOUR_SECONDS, "h")


def age_words(seconds: float) -> str:
    """Return the duration in one or two units, rounded up to what duration_words() can show."""
    if seconds < 10:
        return duration_words(math.ceil(round(seconds * 10, 6)) / 10)
    for below, step in ((2 * MINUTE_SECONDS, 1), (HOUR_SECONDS, MINUTE_SECONDS), (DAY_SECONDS, MINUTE_SECONDS)):
        if seconds < below:
            return duration_words(math.ceil(seconds / step) * step)
    return duration_words(math.ceil(seconds / HOUR_SECONDS) * HOUR_SECONDS)


def _two(seconds: int, big: int, big_unit: str, small: int, small_unit: str) -> str:
    count, rest = divmod(seconds, big)
    smaller = rest // small
    return f"{count} {big_unit} {smaller} {small_unit}" if smaller else f"{count} {big_unit}"
