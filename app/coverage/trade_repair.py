"""Repair of trades: find the times and markets for which no gatherer has all trades, and fetch these by REST.

In: holes in `coverage`, times that operators ask for, and markets whose volume exceeds their recorded trades. Out: new
trades in production, and rows of `trade_repairs`, so that nothing is fetched twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, NamedTuple

import psycopg2.extensions
from msgspec import Raw

from app.coverage.evidence import HeardPeriod
from app.coverage.intervals import us_of
from app.errors import OperatorError
from app.kalshi.rest_client import RestClient
from app.merge import rules
from app.metrics import deduplicator as metrics
from app.normalize.values import FROM_REST, SECOND_US
from app.polling.trades import trade_rows, trades_between
from app.postgres.connection import Asker, Connection, value_of
from app.postgres.dsn import Dsn
from app.runtime.clock import now_us
from app.runtime.threads import Offload
from app.storage.tables import PRODUCTION_TRADES, QUARANTINE, Row
from app.storage.writer import CopyWriter, WriteResult

# REST shows a trade a moment after it happened, and does not show very old ones.
HOLES = """
    WITH known AS (SELECT max(known_until) AS until FROM coverage_hours)
    SELECT lower(hole), upper(hole)
    FROM known, coverage AS c
    CROSS JOIN LATERAL unnest(
        c.holes - coalesce(
            (
                SELECT range_agg(tstzrange(r.started_at, r.ended_at)) FROM trade_repairs AS r
                WHERE r.ticker = '' AND r.started_at < c.hour + INTERVAL '1 hour' AND r.ended_at > c.hour
            ),
            '{}'
        )
    ) AS hole
    WHERE c.channel = 'trade' AND c.ticker = '' AND c.hour > known.until - INTERVAL '7 days'
        AND upper(hole) <= known.until - INTERVAL '30 seconds'
    ORDER BY lower(hole) DESC LIMIT %s
"""
# A trade of the stream may be stored with another time, if its message carried none. Copies are found within the window
# of the merge: a repair that looked less far would store a second trade that no later merge removes.
KNOWN = """
    SELECT trade_id FROM trades
    WHERE trade_id = ANY(%s) AND exchange_ts BETWEEN to_timestamp(%s) AND to_timestamp(%s)
"""
NOTE = """
    INSERT INTO trade_repairs (ticker, started_at, ended_at, reason, trades, added) VALUES (%s, %s, %s, %s, %s, %s)
"""
TIME, TRADE_ID = (PRODUCTION_TRADES.column_names.index(name) for name in ("exchange_ts", "trade_id"))
WINDOW_SECONDS = int(rules.TRADE_COPIES_WITHIN.total_seconds())
# The rest is found again once these are repaired.
MOST_HOLES = 10_000


class RepairReason(Enum):
    HOLE = "hole"
    VOLUME = "volume"
    ASKED = "asked"


class TradeRepair(NamedTuple):
    """A time whose trades are fetched by REST, and why."""

    ticker: str  # '': the whole exchange
    period: HeardPeriod
    reason: RepairReason


def merged_until(connection: Connection) -> datetime:
    """Return until when the gatherers' rows are merged. Without any recording, return now: there is nothing to wait
    for."""
    until: datetime = value_of(connection, "SELECT coalesce(max(known_until), now()) FROM coverage_hours")
    return until


def holes_to_repair(connection: Connection) -> list[TradeRepair]:
    """Return the times in which no gatherer received trades, and that were not yet fetched; the latest first."""
    with connection, connection.cursor() as cursor:
        cursor.execute(HOLES, (MOST_HOLES,))
        return [TradeRepair("", HeardPeriod(*row), RepairReason.HOLE) for row in cursor]


def note_repair(connection: Connection, repair: TradeRepair, trades: int, added: int) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(NOTE, (repair.ticker, *repair.period, repair.reason.value, trades, added))


NO_ROWS = WriteResult(0, 0, 0)


class UnknownTradeWriter(CopyWriter):
    """Write the trades that production does not have yet, under whatever time it may have them.

    The table stays locked from the look for known trades on, so that no merger stores another copy in between.
    """

    def _store(self, cursor: psycopg2.extensions.cursor, rows: Sequence[Row]) -> WriteResult:
        cursor.execute(self._statements.lock_table)
        times = [row[TIME] // SECOND_US for row in rows]
        within = min(times) - WINDOW_SECONDS, max(times) + WINDOW_SECONDS + 1
        # The driver refuses a NUL in a parameter, the database in a row: such a row goes to quarantine below.
        cursor.execute(KNOWN, ([row[TRADE_ID] for row in rows if "\0" not in row[TRADE_ID]], *within))
        known = {trade_id for (trade_id,) in cursor}
        new = [row for row in rows if row[TRADE_ID] not in known]
        return super()._store(cursor, new) if new else NO_ROWS


class Fetched(NamedTuple):
    trades: int
    added: int
    unfit: int  # in quarantine, and in no other table


class MissingTrades:
    """Fetch trades by REST into production. Trades that are already there stay unchanged."""

    def __init__(self, production: Dsn, client: RestClient, offload: Offload) -> None:
        self._ask = Asker(production, "missing trades", offload)
        self._client = client
        self._trades = UnknownTradeWriter(PRODUCTION_TRADES, production, offload)
        self._quarantine = CopyWriter(QUARANTINE, production, offload)

    def merged_until(self) -> datetime:
        return self._ask(merged_until)

    def repair(self, repair: TradeRepair) -> Fetched:
        """Fetch the trades of a repair, and note it as repaired once all of them are stored; a trade in quarantine is
        still missing. After an error the whole repair has to be repeated."""
        fetched = Fetched(0, 0, 0)
        start_us, end_us = map(us_of, repair.period)
        for part in trades_between(self._client, start_us, end_us, repair.ticker or None):
            stored = self._store(part)
            fetched = Fetched(*map(sum, zip(fetched, stored, strict=True)))
        metrics.REPAIRED_TRADES.labels(repair.reason.value).inc(fetched.added)
        if not fetched.unfit:
            self._ask(lambda connection: note_repair(connection, repair, fetched.trades, fetched.added))
            metrics.REPAIRED_INTERVALS.labels(repair.reason.value).inc()
        return fetched

    def _store(self, trades: list[Raw]) -> Fetched:
        fit, unfit = trade_rows(trades, now_us())
        rows = list(map(_production_row, fit))
        if unfit:
            self._quarantine.write(unfit)
        written = self._trades.write(rows) if rows else NO_ROWS
        return Fetched(len(trades), written.inserted, len(unfit) + written.quarantined)


def _production_row(row: Row) -> Row:
    return row[: -len(FROM_REST)]


# Backfill: trades of a time that an operator asks for.

# The length of one piece, of all markets and of one market: a minute's work at most.
PIECE_OF_ALL, PIECE_OF_A_MARKET = timedelta(minutes=10), timedelta(days=1)
# REST shows a trade a moment after it happened.
SETTLED = timedelta(seconds=30)


class AskedTrades:
    """The backfill job: fetch trades of a time that an operator asks for."""

    def __init__(self, trades: MissingTrades) -> None:
        self._trades = trades

    def backfill(self, parameters: Mapping[str, Any]) -> Iterator[str]:
        """Fetch piece by piece, and note each one as repaired if all of it could be stored. Yield the progress."""
        asked = HeardPeriod(*(datetime.fromisoformat(parameters[name]) for name in ("from", "to")))
        ticker = parameters.get("ticker") or ""
        trades = added = unfit = 0
        for piece in pieces(self._settled(asked), PIECE_OF_A_MARKET if ticker else PIECE_OF_ALL):
            fetched = self._trades.repair(TradeRepair(ticker, piece, RepairReason.ASKED))
            trades, added, unfit = trades + fetched.trades, added + fetched.added, unfit + fetched.unfit
            doubt = f"; {unfit} in quarantine, of whose time nothing is noted as repaired" if unfit else ""
            yield f"{trades} trades until {piece.end.isoformat()}, {added} of them new{doubt}"

    def _settled(self, asked: HeardPeriod) -> HeardPeriod:
        """Return the part of the time that REST shows and whose rows are merged: a copy merged later could have another
        time."""
        end = min(asked.end, datetime.now(UTC) - SETTLED, self._trades.merged_until())
        if asked.start >= end:
            raise OperatorError(
                "The requested time has not passed yet.", fix=f"ask for a time before {end.isoformat()}."
            )
        return HeardPeriod(asked.start, end)


def pieces(period: HeardPeriod, length: timedelta) -> Iterator[HeardPeriod]:
    start = period.start
    while start < period.end:
        end = min(start + length, period.end)
        yield HeardPeriod(start, end)
        start = end


# Markets with fewer recorded trades than the exchange's own figures require. A quote contains the volume of all trades
# so far, so its growth from one quote to another is the size of all trades in between.

MOST_AT_ONCE = 2_000

# The growth is counted from the last quote before the hour, or from the first one in it if there is none. A market that
# still lacks trades after a repair of that time, of a day at most, is left out: REST has no more of them.
SUSPECTS = """
    WITH told AS (
        SELECT
            ticker, min(exchange_ts) AS first_ts, min(volume_e2) AS first_volume_e2,
            max(exchange_ts) AS last_ts, max(volume_e2) AS last_volume_e2
        FROM tickers
        WHERE exchange_ts >= %(hour)s AND exchange_ts < %(hour)s + INTERVAL '1 hour' AND volume_e2 IS NOT NULL
        GROUP BY ticker
    ),
    grown AS (
        SELECT
            t.ticker, coalesce(before.exchange_ts, t.first_ts) AS since, t.last_ts AS until,
            t.last_volume_e2 - coalesce(before.volume_e2, t.first_volume_e2) AS volume_e2
        FROM told AS t
        LEFT JOIN LATERAL (
            SELECT b.exchange_ts, b.volume_e2 FROM tickers AS b
            WHERE b.ticker = t.ticker AND b.exchange_ts < %(hour)s AND b.exchange_ts >= %(hour)s - INTERVAL '1 day'
                AND b.volume_e2 IS NOT NULL
            ORDER BY b.exchange_ts DESC, b.volume_e2 DESC LIMIT 1
        ) AS before ON TRUE
    )
    SELECT g.ticker, g.since, g.until, g.volume_e2 - recorded.size_e2, count(*) OVER ()
    FROM grown AS g
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(size_e2), 0)::BIGINT AS size_e2 FROM trades AS r
        WHERE r.ticker = g.ticker AND r.exchange_ts > g.since AND r.exchange_ts <= g.until
    ) AS recorded
    WHERE g.volume_e2 > recorded.size_e2 AND NOT EXISTS (
        SELECT FROM trade_repairs AS done
        WHERE done.ticker = g.ticker AND done.started_at <= g.since AND done.ended_at >= g.until
            AND done.started_at > %(hour)s - INTERVAL '2 days'
    )
    ORDER BY g.volume_e2 - recorded.size_e2 DESC
    LIMIT %(most)s
"""
UNCHECKED = """
    SELECT hour FROM coverage_hours
    WHERE known_until = hour + INTERVAL '1 hour' AND volumes_checked_at IS NULL
        AND hour > (SELECT max(known_until) FROM coverage_hours) - INTERVAL '7 days'
    ORDER BY hour DESC
"""


class Suspect(NamedTuple):
    """A market, and the size of the trades that it lacks over a time."""

    ticker: str
    period: HeardPeriod
    missing_e2: int


class Suspects(NamedTuple):
    listed: list[Suspect]
    markets: int  # all suspects; `listed` has the ones that lack most


def unchecked_hours(connection: Connection) -> list[datetime]:
    """Return the complete hours whose volumes have not been checked yet; the latest first."""
    with connection, connection.cursor() as cursor:
        cursor.execute(UNCHECKED)
        return [hour for (hour,) in cursor]


def suspects_of(connection: Connection, hour: datetime, most: int = MOST_AT_ONCE) -> Suspects:
    with connection, connection.cursor() as cursor:
        cursor.execute(SUSPECTS, {"hour": hour, "most": most})
        rows = cursor.fetchall()
    listed = [Suspect(ticker, HeardPeriod(since, until), missing_e2) for ticker, since, until, missing_e2, _ in rows]
    return Suspects(listed, rows[0][-1] if rows else 0)


def note_checked(connection: Connection, hour: datetime) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE coverage_hours SET volumes_checked_at = now() WHERE hour = %s", (hour,))
