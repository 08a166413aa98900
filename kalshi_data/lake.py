"""A lake for the people who use its data: trades, quotes, order books, markets, and how complete they are."""

import os
from collections.abc import Callable
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.dataset import Dataset

from kalshi_data import names
from kalshi_data.books import Book, MarketRecord, book_of
from kalshi_data.common_calls import CommonCalls
from kalshi_data.coverage import BOOKS, TRADES, Coverage
from kalshi_data.errors import LakeError, MissingBookError, NoLakeError, NotKnownYetError
from kalshi_data.files import LakeFiles, demo_folder, open_files, reading
from kalshi_data.lake_rows import LakeRecord, coverage_of, known_until, with_holes
from kalshi_data.layout import (
    CANDLES,
    COVERAGE,
    DAY,
    DELTAS,
    EVENT_TABLES,
    EVENTS,
    FOLDERS,
    HOUR,
    HOURLY,
    INTERVALS,
    MARKETS,
    SERIES,
    SNAPSHOTS,
    hour_of,
)
from kalshi_data.layout import TICKERS as TICKERS_TABLE
from kalshi_data.layout import TRADES as TRADES_TABLE
from kalshi_data.order_book import Knowledge
from kalshi_data.records import Records
from kalshi_data.reference_changes import SEEN_AT, reference_changes
from kalshi_data.replay import Steps
from kalshi_data.schema import instant, schema_of
from kalshi_data.times import ALWAYS, EARLIEST, EPOCH, LATEST, MICROSECOND, Interval, Moment, moment_of, period_of


class Lake(CommonCalls):
    """The records of a lake."""

    def __init__(self, files: LakeFiles) -> None:
        self._files = files
        self._markets: set[str] = set()  # that are known: a market never disappears
        self._known_until: datetime | None = None  # as it was when it was last looked up

    @property
    def location(self) -> str:
        return self._files.location

    @property
    def files(self) -> LakeFiles:
        return self._files

    def candles(
        self, name: str | None = None, start: Moment | None = None, end: Moment | None = None, interval: str = "1m"
    ) -> Records:
        """Return the candles of intervals that begin in the period."""
        if interval not in INTERVALS:
            raise LakeError(f"There are no candles of {interval}.", fix=f"choose one of {', '.join(INTERVALS)}.")
        return self._records(CANDLES, TRADES, name, period_of(start, end), pc.field("interval") == interval)

    def book(self, ticker: str, at: Moment) -> Book:
        """Return the order book at a time. Its `state` says whether it is certain, `known_until` up to when anything
        is known. Raise NotKnownYetError for a later time."""
        [ticker], moment = self._market(ticker), moment_of(at)
        if self._known_until is None or moment > self._known_until:
            self._known_until = known_until(self._files) or self.recorded_until()
        found = coverage_of(self._files, BOOKS, [ticker], (hour_of(moment), hour_of(moment) + HOUR))
        return self.book_as_known(ticker, moment, found.at(moment)._replace(known_until=self._known_until))

    def book_as_known(self, ticker: str, at: datetime, knowledge: Knowledge) -> Book:
        """Return the order book at a time, for a caller that has its own knowledge of holes. Raise NotKnownYetError if
        the time is later than that reaches."""
        if knowledge.known_until and at > knowledge.known_until:
            raise NotKnownYetError(
                f"The book of {ticker} at {at.isoformat()} is not known yet.",
                f"Completeness is known until {knowledge.known_until.isoformat()}.",
                "ask for that time or an earlier one.",
            )
        self._require(SNAPSHOTS)
        return book_of(LakeRecord(self._files, ticker), at, knowledge)

    def markets(self, series: str | None = None, event: str | None = None, status: str | None = None) -> Records:
        """Return the last known state of each market, with its series, its result and what it settled to."""
        wanted = None
        if series is not None:
            [events] = [names.latest(self._files, EVENTS, pc.field("series_ticker") == series)["event_ticker"]]
            wanted = pc.field("event_ticker").isin(events.to_pylist() or self._no_name(series))
        if event is not None:
            wanted = _both(wanted, pc.field("event_ticker") == event)
        return self._reference(
            MARKETS, wanted, (lambda table: table.filter(pc.field("status") == status)) if status else None
        )

    def events(self, series: str | None = None) -> Records:
        return self._reference(EVENTS, pc.field("series_ticker") == series if series else None)

    def series(self) -> Records:
        return self._reference(SERIES, None)

    def market_changes(
        self, name: str | None = None, start: Moment | None = None, end: Moment | None = None
    ) -> Records:
        """Return which field of which market changed from what to what, from day to day, and when that was seen."""
        period = period_of(start, end)
        tickers = self._tickers(name, ALWAYS)
        return self._changes(MARKETS, None if tickers is None else pc.field("ticker").isin(tickers), period)

    def event_changes(
        self, series: str | None = None, start: Moment | None = None, end: Moment | None = None
    ) -> Records:
        wanted = pc.field("series_ticker") == series if series else None
        return self._changes(EVENTS, wanted, period_of(start, end))

    def series_changes(self, start: Moment | None = None, end: Moment | None = None) -> Records:
        return self._changes(SERIES, None, period_of(start, end))

    def coverage(
        self, name: str | None = None, start: Moment | None = None, end: Moment | None = None, channel: str = BOOKS
    ) -> Coverage:
        """Return how complete a channel is: orderbook_delta, trade, ticker or market_lifecycle_v2."""
        period = period_of(start, end)
        return coverage_of(self._files, channel, self._tickers(name, period), period)

    def coverage_hours(self, start: Moment | None = None, end: Moment | None = None) -> Records:
        """Return the lake's judgement of every hour, channel and market; the whole exchange has an empty ticker."""
        return self._records(COVERAGE, BOOKS, None, period_of(start, end))

    def dataset(self, table: str, start: Moment | None = None, end: Moment | None = None) -> Dataset:
        """Return a table's files as a pyarrow dataset, in integers, for what has no method here."""
        self._require(table)
        return self._files.scan(table, period_of(start, end))

    def recorded_until(self) -> datetime | None:
        """Return the time of the last event in the lake. Return None if it has none."""
        last = [moment for table in EVENT_TABLES if (moment := self._last(table)) is not None]
        return max(last, default=None)

    def _require(self, table: str) -> None:
        if not self._files.has(table):
            fix = "export some hours first, or open another lake."
            raise LakeError(f"The lake at {self.location} has no {FOLDERS[table]}.", fix=fix)

    def _last(self, table: str) -> datetime | None:
        time = "snapshot_ts" if "snapshot_ts" in schema_of(table).names else "exchange_ts"
        for hour in self._files.periods(table):
            with reading(table):
                times = self._files.scan(table, hour).to_table([time])[time]
            if len(times):
                moment: datetime = pc.max(times).as_py()
                return moment
        return None

    def _records(
        self, table: str, channel: str, name: str | None, period: Interval, also: pc.Expression | None = None
    ) -> Records:
        tickers = self._tickers(name, period)
        time = next(each for each in schema_of(table).names if each in {"exchange_ts", "start_ts", "hour_start"})

        def read() -> pa.Table:
            # What lies in a file is of its hour, or day: where the period begins or ends with one, that is enough.
            wanted, length = also, HOUR if table in HOURLY else DAY
            if (period[0] - EPOCH) % length:
                wanted = _both(wanted, pc.field(time) >= instant(period[0]))
            if (period[1] - EPOCH) % length:
                wanted = _both(wanted, pc.field(time) < instant(period[1]))
            if tickers is not None:
                only = pc.field("ticker") == tickers[0] if len(tickers) == 1 else pc.field("ticker").isin(tickers)
                wanted = _both(wanted, only)
            rows = self._files.rows(table, period, schema_of(table).names, wanted)
            is_marked = table in {TRADES_TABLE, TICKERS_TABLE, DELTAS}
            return with_holes(self._files, channel, tickers, period, rows) if is_marked else rows

        return Records(read, lambda: coverage_of(self._files, channel, tickers, period), time)

    def _reference(
        self, table: str, wanted: pc.Expression | None, then: Callable[[pa.Table], pa.Table] | None = None
    ) -> Records:
        def read() -> pa.Table:
            found = names.latest(self._files, table, wanted)
            return then(found) if then else found

        return Records(
            read, lambda: coverage_of(self._files, "market_lifecycle_v2", None, (EARLIEST, LATEST)), "updated_at"
        )

    def _changes(self, table: str, wanted: pc.Expression | None, period: Interval) -> Records:
        return Records(
            lambda: reference_changes(self._files, table, wanted, period),
            lambda: coverage_of(self._files, "market_lifecycle_v2", None, period),
            SEEN_AT,
        )

    def _steps(self, ticker: str, period: Interval, step: timedelta) -> tuple[MarketRecord, Steps, Coverage]:
        [ticker] = self._market(ticker)
        record = LakeRecord(self._files, ticker)
        if EARLIEST in period or LATEST in period:
            period = self._recorded_period(record, period)
        coverage = coverage_of(self._files, BOOKS, [ticker], period)
        return record, Steps.of(period, step), coverage

    def _recorded_period(self, record: MarketRecord, period: Interval) -> Interval:
        """Return the period without what lies before the market's first snapshot or after its last change."""
        snapshots = [each.snapshot_ts for each in record.snapshots(period[0], period[1] - MICROSECOND)]
        if not snapshots:
            raise MissingBookError(f"The lake has no book of {record.ticker} in that time.", fix="name another time.")
        changes = record.changes_table(period[0], period[1], ("exchange_ts",))["exchange_ts"]
        last = max(snapshots[-1], pc.max(changes).as_py() if len(changes) else snapshots[-1])
        since = snapshots[0] if period[0] == EARLIEST else period[0]
        return since, last + MICROSECOND if period[1] == LATEST else period[1]

    def _tickers(self, name: str | None, period: Interval) -> list[str] | None:
        return None if name is None else names.tickers_of(self._files, name, period)

    def _market(self, ticker: str) -> list[str]:
        if ticker in self._markets:
            return [ticker]
        found = names.tickers_of(self._files, ticker)
        if found == [ticker]:
            self._markets.add(ticker)
        else:
            fix = f"name one of them, such as {found[0]}."
            raise LakeError(f"{ticker} has {len(found)} markets, and an order book is that of one.", fix=fix)
        return found

    def _no_name(self, name: str) -> list[str]:
        """Raise UnknownNameError unless the name has markets after all."""
        names.tickers_of(self._files, name)
        return []

    def __repr__(self) -> str:
        return f"<Lake at {self.location}>"


def open_lake(where: str | os.PathLike[str], endpoint: str | None = None) -> Lake:
    return Lake(open_files(where, endpoint))


def open_demo() -> Lake:
    folder = demo_folder()
    try:
        return open_lake(folder)
    except NoLakeError as error:
        fix = 'run make demo ARGS="--seconds 60" and let it end by itself, or set KALSHI_DATA_DIR to its data folder.'
        raise NoLakeError("No demo has left a lake here.", f"{folder} has none.", fix) from error


def _both(one: pc.Expression | None, other: pc.Expression) -> pc.Expression:
    return other if one is None else one & other
