from collections.abc import Iterator
from zlib import crc32

from app.store.tables import ORDERBOOK_SNAPSHOTS, Row

HOUR_US = 3_600_000_000
HOURS_BETWEEN_FULL_ROWS = 24

TIME, DIGEST, TICKER, YES_PRICES, NO_PRICES = map(
    ORDERBOOK_SNAPSHOTS.column_names.index,
    ("snapshot_ts", "levels_digest", "ticker", "yes_prices_e6", "no_prices_e6"),
)
DIGEST_MASK = 2**64 - 1
HOUR_BITS = 20


class SeenBooks:
    """What was last stored of every market's book, so that an unchanged one is confirmed and not stored again.

    One integer a market holds all of it: the digest of the levels, the hour in which they were stored in full, and in
    its last bit whether both sides had some. The keys are best the registry's own strings, not equal ones.
    """

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def __iter__(self) -> Iterator[str]:
        return iter(self._seen)

    def holds(self, row: Row) -> bool:
        """Whether a full row of the same book has been stored, and in the same day. Each market's days begin at an
        hour of its own, or all would be stored in full at once."""
        seen = self._seen.get(row[TICKER])
        if seen is None or seen >> (HOUR_BITS + 1) != row[DIGEST] & DIGEST_MASK:
            return False
        stored_hour = (seen >> 1) & (2**HOUR_BITS - 1)
        return _day(row[TICKER], stored_hour) == _day(row[TICKER], row[TIME] // HOUR_US)

    def note(self, ticker: str, row: Row) -> None:
        """After this row was stored in full."""
        digest_and_hour = (row[DIGEST] & DIGEST_MASK) << HOUR_BITS | row[TIME] // HOUR_US
        self._seen[ticker] = digest_and_hour << 1 | bool(row[YES_PRICES] and row[NO_PRICES])

    def may_be_two_sided(self, ticker: str) -> bool:
        """False if it was not when last seen."""
        return self._seen.get(ticker, 1) & 1 == 1

    def forget(self, ticker: str) -> None:
        self._seen.pop(ticker, None)


def _day(ticker: str, hour: int) -> int:
    return (hour + crc32(ticker.encode()) % HOURS_BETWEEN_FULL_ROWS) // HOURS_BETWEEN_FULL_ROWS
