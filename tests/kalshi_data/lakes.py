"""Lakes of a few rows, written as the exporter writes them: the library's own schemas, folders and encodings."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from pyarrow import parquet

from kalshi_data.layout import FOLDERS, HOURLY, day_folder, hour_folder, hour_of
from kalshi_data.schema import encodings, schema_of

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TICKER = "KXBTC-26NOV21-T100"


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def write(folder, table, rows, time):
    """Writes the rows into the hours, or days, of their time."""
    hours = defaultdict(list)
    for row in rows:
        moment = hour_of(row[time])
        hours[hour_folder(moment) if table in HOURLY else day_folder(moment)].append(row)
    schema = schema_of(table)
    for name, found in hours.items():
        path = folder / FOLDERS[table] / name / "part-0.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.Table.from_pylist(found, schema), path, **encodings(schema))


def trade(seconds, ticker=TICKER, price_e6=420_000, size_e2=150, trade_id=None):
    return {
        "exchange_ts": at(seconds),
        "received_at": at(seconds),
        "size_e2": size_e2,
        "yes_price_e6": price_e6,
        "taker_yes": True,
        "from_rest": False,
        "ticker": ticker,
        "trade_id": trade_id or f"{ticker} {seconds}",
    }


def change(seconds, clock, price_e6=400_000, delta_e2=100, yes_side=True, ticker=TICKER):
    return {
        "exchange_ts": at(seconds),
        "received_at": at(seconds),
        "clock": clock,
        "delta_e2": delta_e2,
        "price_e6": price_e6,
        "nth": 0,
        "yes_side": yes_side,
        "after_gap": False,
        "ts_missing": False,
        "ticker": ticker,
    }


def snapshot(seconds, clock, yes=(), no=(), ticker=TICKER):
    return {
        "snapshot_ts": at(seconds),
        "received_at": at(seconds),
        "clock": clock,
        "levels_digest": 0,
        "ticker": ticker,
        "source": "ws",
        "yes_prices_e6": [price for price, _ in yes],
        "yes_sizes_e2": [size for _, size in yes],
        "no_prices_e6": [price for price, _ in no],
        "no_sizes_e2": [size for _, size in no],
    }


def judged(hour, channel, ticker="", holes=(), known_until=None, state=None):
    return {
        "ticker": ticker,
        "hour_start": hour,
        "channel": channel,
        "state": state or ("hole" if holes else "complete"),
        "known_until": known_until or hour + HOUR,
        "since": hour,
        "until": hour + HOUR,
        "holes_from": [since for since, _ in holes],
        "holes_until": [until for _, until in holes],
        "repaired_from": [],
        "repaired_until": [],
        "repaired_by": [],
    }


def market(ticker, event, updated=NOON, **values):
    known = {"title": ticker, "status": "active", "market_type": "binary", "result": "", "details": "{}"}
    return known | {"ticker": ticker, "event_ticker": event, "updated_at": updated} | values


def event(ticker, series, updated=NOON):
    return {"event_ticker": ticker, "series_ticker": series, "title": ticker, "updated_at": updated, "details": "{}"}
