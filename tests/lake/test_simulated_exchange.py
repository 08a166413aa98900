"""What an exchange did, through production and the lake's commands, judged by the exchange itself."""

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner

from app.cli import cli
from app.coverage.intervals import us_of
from app.lake.reader import book_at, lake_of
from app.lake.storage import storage_at
from app.postgres.connection import connected
from app.postgres.dsn import Dsn
from app.simulator.market.changes import SimTrade
from app.simulator.market.history import candles
from kalshi_data.layout import HOUR, hour_of
from tests.cli_settings import invoke
from tests.gatherers import execute


def test_it_is_all_there_once_and_as_it_was(run, exported):
    assert invoke(exported, "verify").exit_code == 0
    done = CliRunner().invoke(
        cli, ["simulator", "check", "--truth", str(run[1]), "--lake", exported["KALSHI_LAKE"], "--json"]
    )
    assert done.exit_code == 0, done.output
    assert all(table["found"] == table["expected"] > 10 for table in json.loads(done.stdout)["lake"]["tables"])


def test_verify_says_what_is_damaged(own_export):
    storage = storage_at(own_export["KALSHI_LAKE"])
    trades, tickers, deltas = (
        next(iter(storage.keys(f"processed/{table}"))) for table in ("trades", "tickers", "orderbook_deltas")
    )
    (storage.folder / trades).write_bytes(storage.read(trades)[:-1] + b"?")
    (storage.folder / tickers).unlink()
    manifest = storage.folder / f"_manifest/{deltas.removesuffix('.parquet')}.json"
    manifest.write_bytes(b"{")
    done = invoke(own_export, "verify")
    assert done.exit_code == 1
    assert "bytes are not those of its manifest" in done.stderr
    assert "there is a manifest, but no object" in done.stderr
    assert "the manifest cannot be read" in done.stderr


def test_books_are_those_of_the_database(run, exported):
    lake, catalog = lake_of(storage_at(exported["KALSHI_LAKE"])), run[0].catalog
    now_us = us_of(lake.recorded_until())
    with connected(Dsn(exported["KALSHI_PRODUCTION_DSN"])) as connection, connection.cursor() as cursor:
        for market in range(10):
            cursor.execute("SELECT 'epoch'::TIMESTAMPTZ + %s * INTERVAL '1 us'", (now_us - market * 1_300_000,))
            (at,) = cursor.fetchone()
            cursor.execute(
                "SELECT side = 'yes', price_e6, size_e2 FROM order_book(%s, %s)", (catalog.ticker(market), at)
            )
            expected = {(yes_side, price_e6): size_e2 for yes_side, price_e6, size_e2 in cursor.fetchall()}
            assert book_at(lake, catalog.ticker(market), at).levels == expected


def test_the_book_command_shows_it(run, exported):
    ticker, last = run[0].catalog.ticker(0), lake_of(storage_at(exported["KALSHI_LAKE"])).recorded_until()
    done = invoke({"KALSHI_LAKE": exported["KALSHI_LAKE"]}, "book", ticker, "--at", last.isoformat())
    assert done.exit_code == 0, done.output
    first, _, *levels = done.output.splitlines()
    assert first.startswith(
        f"{ticker} at {last.isoformat()}: unknown; known until {last.isoformat()}; the ws snapshot of "
    )
    assert {line.split()[0] for line in levels} <= {"bid", "ask"}
    nobody = invoke(exported, "book", "KXNONE", "--at", "2026-11-21T15:00:00Z")
    assert nobody.exit_code == 1
    assert "no book of KXNONE" in str(nobody.exception)


def test_the_book_command_refuses_a_time_that_the_lake_does_not_reach(run, exported):
    ticker, last = run[0].catalog.ticker(0), lake_of(storage_at(exported["KALSHI_LAKE"])).recorded_until()
    later = (last + timedelta(microseconds=1)).isoformat()
    refused = invoke({"KALSHI_LAKE": exported["KALSHI_LAKE"]}, "book", ticker, "--at", later)
    assert refused.exit_code == 1
    assert f"known until {last.isoformat()}" in str(refused.exception)


def test_the_book_command_says_what_production_knows_of_that_time(run, own_export, production):
    ticker, last = run[0].catalog.ticker(0), lake_of(storage_at(own_export["KALSHI_LAKE"])).recorded_until()
    hour = hour_of(last)
    hole = (last - timedelta(seconds=2), last - timedelta(seconds=1))
    execute(
        production,
        "INSERT INTO markets (ticker, event_ticker, title, status, market_type, open_time, close_time, updated_at, details) "
        "VALUES (%s, '', '', 'active', 'binary', %s, %s, now(), '{}') ON CONFLICT (ticker) DO UPDATE "
        "SET open_time = excluded.open_time, close_time = excluded.close_time",
        (ticker, hour - 9 * HOUR, hour + 9 * HOUR),
    )
    execute(
        production,
        "INSERT INTO coverage_hours (hour, known_until, judged_changes) VALUES (%s, %s, 0)",
        (hour, last - timedelta(milliseconds=500)),
    )
    execute(production, "INSERT INTO coverage_changes (hour) VALUES (%s)", (hour,))
    execute(
        production,
        "INSERT INTO coverage (hour, channel, ticker, state, holes, repaired, repaired_by) "
        "VALUES (%s, 'orderbook_delta', %s, 'hole', tstzmultirange(tstzrange(%s, %s)), '{}', '{}')",
        (hour, ticker, *hole),
    )
    inside = invoke(own_export, "book", ticker, "--at", hole[0].isoformat(), "--json")
    assert inside.exit_code == 0, inside.output
    found = json.loads(inside.output)
    assert (found["state"], found["hole"]) == ("hole", [bound.isoformat() for bound in hole])
    shown = invoke(own_export, "book", ticker, "--at", hole[0].isoformat()).output
    assert f": in a hole from {hole[0].isoformat()} to {hole[1].isoformat()}; known until " in shown
    beyond = invoke(own_export, "book", ticker, "--at", last.isoformat())
    assert beyond.exit_code == 1
    assert (last - timedelta(milliseconds=500)).isoformat() in str(beyond.exception)


@pytest.mark.parametrize(("interval", "minutes"), [("1m", 1), ("1h", 60), ("1d", 1440)])
def test_candles_are_the_exchange_s_own(interval, minutes, run, exported):
    expected = {}
    # Some markets open on the way.
    for market in {change.market for _, change in run[0].seen if isinstance(change, SimTrade)}:
        trades = [
            change._replace(at_us=change.at_us // 1_000 * 1_000)
            for _, change in run[0].seen
            if isinstance(change, SimTrade) and change.market == market
        ]
        for candle in candles(trades, minutes):
            start_us = (candle.end_period_ts - minutes * 60) * 1_000_000
            price = candle.price
            expected[run[0].catalog.ticker(market), start_us] = (
                *(price.open_e6, price.high_e6, price.low_e6, price.close_e6),
                *(candle.volume_e2, candle.trades, candle.mean_e6),
            )
    rows = lake_of(storage_at(exported["KALSHI_LAKE"])).dataset("candles").to_table().to_pylist()
    names = ("open_e6", "high_e6", "low_e6", "close_e6", "volume_e2", "trades", "vwap_e6")
    found = {
        (row["ticker"], int(row["start_ts"].timestamp()) * 1_000_000): tuple(row[name] for name in names)
        for row in rows
        if row["interval"] == interval
    }
    assert len(expected) >= 5
    assert found == expected
