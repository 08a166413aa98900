"""Every list of the admin service.

In: the filters of a request. Out: one SQL statement a page, and its columns; paging.py defines how a list is built.
Read catalog.py first.
"""

from admin.api.listings.catalog import ACTIVE_MARKETS, EVENTS, MARKETS, SERIES
from admin.api.listings.completeness import (
    COVERAGE,
    COVERAGE_HOURS,
    FINDINGS,
    GAPS,
    LOSSES,
    MARKET_COVERAGE,
    REPAIRS,
    RUNS,
)
from admin.api.listings.operation import CHANGES, CURSORS, DIFFERING_TRADES, EXPORTS, JOBS, QUARANTINE
from admin.api.listings.recorded import (
    BOOK_CHANGES,
    JUDGEMENTS,
    RECORDED_MARKETS,
    RECORDED_QUOTES,
    RECORDED_SNAPSHOTS,
    RECORDED_TRADES,
)
from admin.api.listings.records import DELTAS, LIFECYCLE, SNAPSHOTS, TICKERS, TRADES
from admin.api.paging import Listing

LISTINGS: tuple[Listing, ...] = (
    *(ACTIVE_MARKETS, MARKETS, EVENTS, SERIES),
    *(TRADES, DELTAS, TICKERS, SNAPSHOTS, LIFECYCLE),
    *(RECORDED_TRADES, BOOK_CHANGES, RECORDED_QUOTES, RECORDED_SNAPSHOTS, JUDGEMENTS, RECORDED_MARKETS),
    *(COVERAGE_HOURS, COVERAGE, MARKET_COVERAGE, GAPS, LOSSES, RUNS, REPAIRS, FINDINGS),
    *(CURSORS, EXPORTS, DIFFERING_TRADES, QUARANTINE, JOBS, CHANGES),
)
