"""Whatever is lost with the process lies between two moments that the database names."""

from app.postgres.connection import connected, value_of
from app.simulator.market.catalog import Catalog
from app.simulator.market.changes import SimDelta, SimTrade
from app.simulator.truth import TruthReader
from tests.faults.gathering import delivered_changes, gatherer, let_pass, settings_of, stop_in_order, wait_for_rows
from tests.processes import wait_until

US = "(extract(epoch FROM {}) * 1000000)::BIGINT"


def test_a_kill_loses_only_what_its_run_does_not_claim(simulator, databases, tmp_path):
    settings = settings_of(simulator, databases, tmp_path / "data")
    with gatherer(settings) as recorder:
        recorder.wait_until_ready()
        let_pass(simulator, 5)
        recorder.kill()
    let_pass(simulator, 2)
    with gatherer(settings) as recorder:
        recorder.wait_until_ready()
        let_pass(simulator, 5)
        backfilled = "from_rest"
        wait_for_rows(databases, 1, "trades", backfilled)
        wait_until(lambda: no_trade_is_missing_yet(recorder), what="the back-fill")
        stop_in_order(simulator, recorder)
    assert simulator.stop() == 0

    (first, second) = databases.rows("SELECT run_id, ended_at IS NULL FROM runs ORDER BY run_id")
    assert (first[1], second[1]) == (True, False)
    claimed_until_us = databases.value(f"SELECT {US.format('recorded_until')} FROM runs WHERE run_id = %s", first[0])
    heard_from_us = dict(
        databases.rows(
            f"SELECT ticker, max({US.format('started_at')}) FROM subscriptions WHERE run_id = {second[0]} GROUP BY ticker"
        )
    )
    # Of a market that the first run had not listened to yet it claims nothing.
    first_heard_us = dict(
        databases.rows(
            f"SELECT ticker, min({US.format('started_at')}) FROM subscriptions WHERE run_id = {first[0]} GROUP BY ticker"
        )
    )
    lost = missing(simulator, databases)
    header = TruthReader(simulator.truth).header
    names = Catalog(header.seed, header.markets, header.start_us)
    assert [change for change in lost if isinstance(change, SimTrade)] == []
    undeclared = [
        change
        for change in lost
        if isinstance(change, SimDelta)
        and first_heard_us.get(names.ticker(change.market), change.at_us + 1) <= change.at_us
        and not claimed_until_us <= change.at_us <= heard_from_us.get(names.ticker(change.market), change.at_us)
    ]
    assert [
        (change, change.at_us - claimed_until_us, heard_from_us.get(names.ticker(change.market), 0) - change.at_us)
        for change in undeclared
    ] == []


def no_trade_is_missing_yet(recorder):
    return recorder.metric("kalshi_trade_repair_gaps") == 0


def missing(simulator, databases):
    with connected(databases.timeseries) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT trade_id FROM trades")
        trades = {trade_id for (trade_id,) in cursor.fetchall()}
        cursor.execute("SELECT ticker, clock, yes_side, price_e6, delta_e2 FROM orderbook_deltas")
        deltas = set(cursor.fetchall())
        assert value_of(connection, "SELECT count(*) FROM quarantine") == 0
    header = TruthReader(simulator.truth).header
    names = Catalog(header.seed, header.markets, header.start_us)

    def is_there(change):
        if isinstance(change, SimTrade):
            return change.trade_id in trades
        return not isinstance(change, SimDelta) or (names.ticker(change.market), *change[2:]) in deltas

    return [change for change in delivered_changes(simulator) if not is_there(change)]
