import pytest

from app.storage.tables import TRADES
from tests.polling.exchanges import simulated
from tests.processes import run, wait_until
from tests.simulator.running import START
from tests.storage.reading import rows_of

DAY = ("--from", "2026-11-21T15:00Z", "--to", "2026-11-22T15:00Z")
TICKER, TRADE_ID = map(TRADES.column_names.index, ("ticker", "trade_id"))


@pytest.fixture(scope="module")
def simulation(tmp_path_factory):
    options = ("--markets", 200, "--rate", 2_000, "--speed", 10)
    with simulated(tmp_path_factory.mktemp("simulator"), *options) as (simulator, _):
        wait_until(lambda: len(simulator.rest("/markets/trades", limit=200).body["trades"]) == 200)
        simulator.stop_the_clock()
        yield simulator


def backfill(simulator, dsn, *options):
    where = {"KALSHI_TS_DSN": dsn.reveal(), "KALSHI_REST_URL": simulator.where["rest"], "NO_PROXY": "127.0.0.1"}
    return run("-m", "app", "backfill", *options, **where)


def test_trades_that_rest_tells_of_are_in_the_database_and_once_after_a_second_run(simulation, timeseries, connection):
    assert START.startswith("2026-11-21T15")
    told = simulation.rest("/markets/trades", limit=1000).body["trades"]
    first, second = (backfill(simulation, timeseries, *DAY) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    rows = rows_of(connection, TRADES)
    assert first.stdout == f"fetched {len(rows)} trades, {len(rows)} of them new; 0 in quarantine\n"
    assert second.stdout == f"fetched {len(rows)} trades, 0 of them new; 0 in quarantine\n"
    assert {each["trade_id"] for each in told} <= {row[TRADE_ID] for row in rows}


def test_of_one_market_if_it_is_named(simulation, timeseries, connection):
    ticker = simulation.rest("/markets/trades", limit=1).body["trades"][0]["ticker"]
    done = backfill(simulation, timeseries, *DAY, "--ticker", ticker)
    assert done.returncode == 0, done.stderr
    assert {row[TICKER] for row in rows_of(connection, TRADES)} == {ticker}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--from", "yesterday", "--to", "2026-11-22"), "is not a time such as"),
        (("--from", "2026-11-22", "--to", "2026-11-21"), "not after --from"),
    ],
)
def test_times_that_make_no_sense_are_refused(options, reason):
    done = run("-m", "app", "backfill", *options)
    assert (done.returncode, reason in done.stderr) == (2, True), done.stderr


def test_without_a_gatherers_database_it_says_which_to_name(simulation):
    url = simulation.where["rest"]
    settings = {"KALSHI_REST_URL": url, "KALSHI_META_DSN": "postgresql://localhost/none", "NO_PROXY": "127.0.0.1"}
    done = run("-m", "app", "backfill", *DAY, **settings)
    assert (done.returncode, "KALSHI_TS_DSN" in done.stderr) == (2, True), done.stderr
