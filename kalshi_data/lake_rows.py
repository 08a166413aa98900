"""What a lake's files have of a market, of completeness and of holes. books.py, coverage.py and holes.py know no files:
Arrow takes as long to load what reads these as all the rest."""

from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.dataset import Dataset

from kalshi_data.books import LOOK_BACK_DAYS, SNAPSHOT_COLUMNS, MarketRecord, snapshot_of
from kalshi_data.coverage import BOOKS, TRADES, WHOLE_EXCHANGE, Asked, Coverage, coverage_from, judgements_for
from kalshi_data.files import LakeFiles, reading
from kalshi_data.holes import with_marks
from kalshi_data.layout import COVERAGE, DAY, DELTAS, SNAPSHOTS, day_of
from kalshi_data.order_book import BookChange, BookSnapshot
from kalshi_data.schema import instant
from kalshi_data.times import MICROSECOND, Interval


class LakeRecord(MarketRecord):
    """The lake's record of one market."""

    def __init__(self, files: LakeFiles, ticker: str) -> None:
        super().__init__(ticker)
        self._files = files

    def last_snapshot(self, until: datetime) -> BookSnapshot | None:
        polled = None
        since = day_of(until) - (LOOK_BACK_DAYS - 1) * DAY
        for scan in self._files.scan_backwards(SNAPSHOTS, since, until):
            found = self._snapshots_in(scan, since, until)
            if of_stream := [snapshot for snapshot in found if snapshot.is_of_stream]:
                return of_stream[-1]
            polled = polled or (found[-1] if found else None)
        return polled

    def snapshots(self, since: datetime, until: datetime) -> list[BookSnapshot]:
        return self._snapshots_in(self._files.scan(SNAPSHOTS, (since, until + MICROSECOND)), since, until)

    def _snapshots_in(self, scan: Dataset, since: datetime, until: datetime) -> list[BookSnapshot]:
        stamp = pc.field("snapshot_ts")
        wanted = (pc.field("ticker") == self.ticker) & (stamp >= instant(since)) & (stamp <= instant(until))
        wanted &= pc.field("yes_prices_e6").is_valid()
        with reading(f"The snapshots of {self.ticker}"):
            rows = scan.to_table(SNAPSHOT_COLUMNS, filter=wanted).sort_by("snapshot_ts").to_pylist()
        return [snapshot_of(row) for row in rows]

    def changes_table(
        self, after: datetime, until: datetime, columns: tuple[str, ...] = BookChange._fields
    ) -> pa.Table:
        stamp = pc.field("exchange_ts")
        wanted = (pc.field("ticker") == self.ticker) & (stamp > instant(after)) & (stamp <= instant(until))
        with reading(f"The changes of {self.ticker}"):
            scan = self._files.scan(DELTAS, (after, until + MICROSECOND))
            return scan.to_table(list(columns), filter=wanted)


def coverage_of(files: LakeFiles, channel: str, tickers: list[str] | None, period: Interval) -> Coverage:
    """Return the completeness of a channel, from the lake's coverage/."""
    rows = _rows(files, judgements_for(channel, tickers), period)
    return coverage_from(rows, channel, period, is_one_market=tickers is not None and len(tickers) == 1)


def known_until(files: LakeFiles) -> datetime | None:
    """Return up to when the record of the exchange is known. Return None if the lake has no coverage."""
    for hour in files.periods(COVERAGE):
        if rows := _rows(files, judgements_for(TRADES, None), hour):
            moment: datetime = max(row["known_until"] for row in rows)
            return moment
    return None


def with_holes(files: LakeFiles, channel: str, tickers: list[str] | None, period: Interval, rows: pa.Table) -> pa.Table:
    """Return the rows of a channel with the column in_hole, by the lake's coverage/."""
    return with_marks(rows, channel, _judgements(files, channel, tickers, period) if rows.num_rows else [])


def _of(channel: str, tickers: list[str] | None) -> pc.Expression:
    of_channel = pc.field("channel") == channel
    if tickers is not None:
        return of_channel & pc.field("ticker").isin(tickers)
    # Most books of an hour are complete, and there may be very many.
    return of_channel & (pc.field("state") != "complete")


def _rows(files: LakeFiles, asked: list[Asked], period: Interval) -> list[dict[str, Any]]:
    wanted = reduce(or_, (_of(*each) for each in asked))
    rows: list[dict[str, Any]] = files.rows(COVERAGE, period, wanted=wanted).to_pylist()
    return rows


def _judgements(files: LakeFiles, channel: str, tickers: list[str] | None, period: Interval) -> list[dict[str, Any]]:
    wanted = (pc.field("channel") == channel) & (pc.list_value_length(pc.field("holes_from")) > 0)
    if channel != BOOKS:
        wanted &= pc.field("ticker") == WHOLE_EXCHANGE
    elif tickers is not None:
        wanted &= pc.field("ticker").isin(tickers)
    rows = files.rows(COVERAGE, period, ["ticker", "holes_from", "holes_until"], wanted)
    found: list[dict[str, Any]] = rows.to_pylist()
    return found
