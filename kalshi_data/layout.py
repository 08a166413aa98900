"""The layout of a lake: its folders, its hours, and the order of rows in its files.

Writers and readers share this module; nothing else defines where an object lies.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

# Hours and days, as the lake's folders name them.

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def day_of(moment: datetime) -> datetime:
    return hour_of(moment).replace(hour=0)


def hours_between(start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield every hour that contains a moment from start on and before end."""
    hour = hour_of(start)
    while hour < end:
        yield hour
        hour += HOUR


def hour_folder(hour: datetime) -> str:
    return f"date={hour:%Y-%m-%d}/hour={hour:%H}"


DELTAS, TRADES, TICKERS = "orderbook_deltas", "trades", "tickers"
SNAPSHOTS, LIFECYCLE = "orderbook_snapshots", "lifecycle_events"
EVENT_TABLES = (DELTAS, TRADES, TICKERS, SNAPSHOTS, LIFECYCLE)
COVERAGE, CANDLES = "coverage", "candles"
SERIES, EVENTS, MARKETS = "series", "events", "markets"
REFERENCE_TABLES = (SERIES, EVENTS, MARKETS)
INTERVALS = ("1m", "1h", "1d")

# Folders below the lake's root. Each holds date=YYYY-MM-DD, and hours where the table is written by the hour.
FOLDERS = {
    **{name: f"processed/{name}" for name in EVENT_TABLES},
    **{name: f"reference/{name}" for name in REFERENCE_TABLES},
    COVERAGE: "coverage",
    CANDLES: "aggregates/ohlcv",
}
HOURLY = frozenset({*EVENT_TABLES, COVERAGE})
FILE = "part-0.parquet"
IDENTITY_KEY = "_identity.json"
MANIFESTS = "_manifest"

# The columns that identify a row's event, ticker and time first. They also are the order in the files, which has no
# ties.
IDENTITY = {
    DELTAS: ("ticker", "exchange_ts", "clock", "yes_side", "price_e6", "delta_e2", "nth"),
    TRADES: ("ticker", "exchange_ts", "trade_id"),
    TICKERS: ("ticker", "exchange_ts", "digest", "nth"),
    SNAPSHOTS: ("ticker", "snapshot_ts", "source"),
    LIFECYCLE: ("ticker", "exchange_ts", "event_type", "digest", "nth"),
    # The same for what is no table of events.
    COVERAGE: ("ticker", "hour_start", "channel"),
    CANDLES: ("ticker", "start_ts"),
    SERIES: ("ticker", "updated_at"),
    EVENTS: ("event_ticker", "updated_at"),
    MARKETS: ("ticker", "updated_at"),
}


def day_folder(day: datetime) -> str:
    return f"date={day:%Y-%m-%d}"


def manifest_key(object_key: str) -> str:
    """Return the key of an object's manifest. Manifests lie apart from the data, so that readers of a data folder find
    only Parquet there."""
    return f"{MANIFESTS}/{object_key.removesuffix('.parquet')}.json"


def object_key(manifest_key: str) -> str:
    """Return the key of the object that a manifest describes."""
    return f"{manifest_key.removeprefix(f'{MANIFESTS}/').removesuffix('.json')}.parquet"
