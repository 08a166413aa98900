"""Three checks on production: every rebuilt book against the next snapshot and against each quote, and what single
gatherers alone recorded.

In: production, and one second of each gatherer's database per minute. Out: findings, metrics and log lines.
The progress of the audit is stored in production; a failed step is repeated.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from app.audit.audit import Audited, audit_again, audit_new
from app.audit.quote_audit import AuditedQuotes, FollowedBooks, audit_new_quotes
from app.audit.quote_findings import audit_quotes_again
from app.coverage.evidence import PATIENCE, known_until_us, read_gatherers
from app.merge.overlap import ExclusiveEvents, compare_second
from app.metrics import deduplicator as metrics
from app.normalize.values import MICROSECOND, SECOND_US
from app.postgres.connection import Asker, Connection, KeptConnection, connect, connected
from app.postgres.dsn import Dsn
from app.runtime import logs
from app.runtime.backoff import Backoff
from app.runtime.clock import now_us
from app.runtime.health import Stopping
from app.runtime.threads import Offload
from workers.process.loop import Loop

log = logs.get(__name__)

IDLE_SECONDS = 10.0
LOOK_AGAIN_SECONDS = 600.0


class Auditor:
    """Rebuild every book from one snapshot to the next, and report each difference."""

    def __init__(
        self,
        production: Dsn,
        offload: Offload,
        stopping: Stopping,
        patience: timedelta = PATIENCE,
        look_again_seconds: float = LOOK_AGAIN_SECONDS,
    ) -> None:
        self._ask = Asker(production, "auditor", offload)
        # Its progress is stored in the database: after a failure, the next step repeats this one.
        self._loop = Loop(self._audit_next, IDLE_SECONDS, stopping, on_failure=_not_audited)
        self._patience = patience
        self._look_again_seconds = look_again_seconds
        self._explained_due = 0.0

    def run(self) -> None:
        self._loop.run()

    def step(self) -> bool:
        """Audit the next snapshots. Return False if all that can be audited are."""
        return self._loop.step()

    def _audit_next(self) -> bool:
        audited = self._ask(self._audit)
        _show(audited)
        return audited.has_more

    def _audit(self, connection: Connection) -> Audited:
        audited = audit_new(connection, datetime.now(UTC), self._patience)
        if not audited.has_more:
            # Looking through all explained findings takes seconds after an outage of every market.
            are_due = time.monotonic() >= self._explained_due
            found = audit_again(connection, self._look_again_seconds, are_explained_due=are_due)
            metrics.OPEN_FINDINGS.set(found)
            if are_due:
                self._explained_due = time.monotonic() + self._look_again_seconds
        return audited


def _not_audited(error: str) -> None:
    log.error("audit failed: retrying", error=error)


def _show(audited: Audited) -> None:
    for verdict, books in audited.verdicts.items():
        metrics.AUDITED_BOOKS.labels(verdict.value).inc(books)
    if audited.through:
        metrics.AUDITED_TIMESTAMP.set(audited.through.timestamp())
    for pair in audited.findings:
        log.error(
            "audit: rebuilt book differs from the snapshot",
            ticker=pair.ticker,
            since=pair.from_ts,
            until=pair.to_ts,
            levels=len(pair.differences),
        )


QUOTES_IDLE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
# Findings of which each is looked at again after LOOK_AGAIN_SECONDS.
AGAIN_SECONDS = 10.0


class QuoteAuditor:
    """Compare every book with each quote of its market, and report each contradiction."""

    def __init__(
        self,
        production: Dsn,
        offload: Offload,
        stopping: Stopping,
        patience: timedelta = PATIENCE,
        look_again_seconds: float = LOOK_AGAIN_SECONDS,
    ) -> None:
        self._offload = offload
        self._connection = KeptConnection(
            lambda: connect(production, "quote auditor"), "Quotes could not be compared with the books."
        )
        # Its progress is stored in the database: after a failure, the next step repeats this one.
        backoff = Backoff(QUOTES_IDLE_SECONDS, LONGEST_PAUSE_SECONDS)
        self._loop = Loop(
            self._audit_next, QUOTES_IDLE_SECONDS, stopping, on_failure=_quotes_not_audited, backoff=backoff
        )
        self._patience = patience
        self._look_again_seconds = look_again_seconds
        self._again_due = 0.0
        self._books = FollowedBooks()

    def run(self) -> None:
        self._loop.run()

    def step(self) -> bool:
        """Audit the next quotes. Return False if all that can be audited are."""
        return self._loop.step()

    def _audit_next(self) -> bool:
        audited = self._offload(self._audit)
        _show_quotes(audited)
        return audited.has_more

    def _audit(self) -> AuditedQuotes:
        now = datetime.now(UTC)
        with self._connection.opened() as connection:
            audited = audit_new_quotes(connection, self._books, now, self._patience)
            if not audited.has_more and time.monotonic() >= self._again_due:
                audit_quotes_again(connection, now, self._patience, self._look_again_seconds)
                self._again_due = time.monotonic() + AGAIN_SECONDS
        return audited


def _quotes_not_audited(error: str) -> None:
    log.error("audit by quotes failed: retrying", error=error)


def _show_quotes(audited: AuditedQuotes) -> None:
    for verdict, quotes in audited.verdicts.items():
        metrics.AUDITED_QUOTES.labels(verdict.value).inc(quotes)
    metrics.PASSED_QUOTES.inc(audited.passed)
    if audited.through:
        metrics.QUOTES_AUDITED_TIMESTAMP.set(audited.through.timestamp())
    for found in audited.findings:
        log.error(
            "audit: rebuilt book differs from a quote",
            ticker=found.asked.ticker,
            since=found.from_ts,
            at=found.asked.at,
            levels=len(found.differences),
        )


SAMPLE_SECONDS = 60.0
# Rows of events that happened this long before a gatherer's recorded moment have arrived in its database, whatever the
# network's delay and the clocks' difference.
ON_THE_WAY_SECONDS = 10


class OverlapSampler:
    """Count, for one second of each minute, the events that only one gatherer recorded."""

    def __init__(self, gatherers: Mapping[str, Dsn], production: Dsn, offload: Offload, stopping: Stopping) -> None:
        self._gatherers = gatherers
        self._production = production
        self._offload = offload
        self._loop = Loop(
            self._sample, SAMPLE_SECONDS, stopping, on_failure=_not_compared, first_seconds=SAMPLE_SECONDS
        )
        self._last_second = 0

    def run(self) -> None:
        self._loop.run()

    def step(self) -> bool:
        """Compare one second. Return False if a gatherer is unreachable: then nothing is counted."""
        self._loop.step()
        return self._loop.failure is None

    def _sample(self) -> None:
        compared = self._offload(self._compare)
        for table, alone in compared.items():
            metrics.SAMPLED_ROWS.labels(table).inc(alone.events)
            for gatherer, events in alone.by_gatherer.items():
                metrics.SAMPLED_ROWS_ALONE.labels(gatherer, table).inc(events)

    def _compare(self) -> dict[str, ExclusiveEvents]:
        with connected(self._production, "comparer") as connection, connection:
            known_us = known_until_us(read_gatherers(connection), now_us(), PATIENCE // MICROSECOND)
        second = known_us // SECOND_US - ON_THE_WAY_SECONDS
        if second <= self._last_second:
            return {}  # no later second is complete yet
        compared = compare_second(self._gatherers, second)
        self._last_second = second
        return compared


def _not_compared(error: str) -> None:
    log.warning("gatherers could not be compared", error=error)
