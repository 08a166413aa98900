"""A batch of polled books to rows: full rows, confirmations, and rows for quarantine."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple
from zlib import crc32

from msgspec import Raw

from app.normalize.snapshots import confirmation_row, rest_snapshot_row
from app.normalize.values import UnfitMessageError
from app.storage.tables import ORDERBOOK_SNAPSHOTS, Row, Table

HOUR_US = 3_600_000_000
HOURS_BETWEEN_FULL_ROWS = 24

TIME, DIGEST, TICKER, YES_PRICES, NO_PRICES = map(
    ORDERBOOK_SNAPSHOTS.column_names.index,
    ("snapshot_ts", "levels_digest", "ticker", "yes_prices_e6", "no_prices_e6"),
)
DIGEST_MASK = 2**64 - 1
HOUR_BITS = 20


class SeenBooks:
    """The last stored state of every market's book, so that an unchanged book is confirmed and not stored again.

    One integer for each market holds all of it: the digest of the levels, the hour in which they were stored in full,
    and, in the last bit, whether both sides had levels. Use the registry's own strings as keys, not equal copies: they
    share memory.
    """

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def __iter__(self) -> Iterator[str]:
        return iter(self._seen)

    def holds(self, row: Row) -> bool:
        """Return whether a full row of the same book has been stored on the same day.

        Each market's days begin at an hour of its own; otherwise all books would be stored in full at the same time.
        """
        seen = self._seen.get(row[TICKER])
        if seen is None or seen >> (HOUR_BITS + 1) != row[DIGEST] & DIGEST_MASK:
            return False
        stored_hour = (seen >> 1) & (2**HOUR_BITS - 1)
        return _day(row[TICKER], stored_hour) == _day(row[TICKER], row[TIME] // HOUR_US)

    def note(self, ticker: str, row: Row) -> None:
        """Note that this row was stored in full."""
        digest_and_hour = (row[DIGEST] & DIGEST_MASK) << HOUR_BITS | row[TIME] // HOUR_US
        self._seen[ticker] = digest_and_hour << 1 | bool(row[YES_PRICES] and row[NO_PRICES])

    def may_be_two_sided(self, ticker: str) -> bool:
        """Return False if the book was not two-sided when last seen."""
        return self._seen.get(ticker, 1) & 1 == 1

    def forget(self, ticker: str) -> None:
        self._seen.pop(ticker, None)


def _day(ticker: str, hour: int) -> int:
    return (hour + crc32(ticker.encode()) % HOURS_BETWEEN_FULL_ROWS) // HOURS_BETWEEN_FULL_ROWS


def unfit_row(table: Table, content: Raw, reason: str, received_us: int) -> Row:
    """Return a row for quarantine: the object as it came, and the table whose row it should have become."""
    return (received_us, table.name, reason, bytes(content))


class PolledBooks(NamedTuple):
    rows: list[Row]  # all in full
    changed: list[Row]  # the ones not stored already
    unfit: list[Row]  # for quarantine
    missing: int  # markets that were asked for and not answered

    @property
    def empty(self) -> int:
        return sum(not row[YES_PRICES] and not row[NO_PRICES] for row in self.rows)


def polled_books(asked: Iterable[str], answered: Iterable[Raw], seen: SeenBooks, received_us: int) -> PolledBooks:
    awaited = set(asked)
    rows: list[Row] = []
    unfit: list[Row] = []
    for content in answered:
        try:
            row = rest_snapshot_row(content, received_us)
        except UnfitMessageError as error:
            unfit.append(unfit_row(ORDERBOOK_SNAPSHOTS, content, str(error), received_us))
            continue
        if row[TICKER] in awaited:
            awaited.remove(row[TICKER])
            rows.append(row)
        else:
            unfit.append(unfit_row(ORDERBOOK_SNAPSHOTS, content, "it was not asked for", received_us))
    changed = [row for row in rows if not seen.holds(row)]
    # An unfit answer may be that to one of the awaited tickers, and is not counted as missing too.
    return PolledBooks(rows, changed, unfit, max(len(awaited) - len(unfit), 0))


def rows_to_store(polled: PolledBooks) -> list[Row]:
    """Return full rows of the changed books, and confirmations of the others."""
    changed = {row[TICKER] for row in polled.changed}
    return [row if row[TICKER] in changed else confirmation_row(row) for row in polled.rows]
