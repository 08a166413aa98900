"""The check against a real database that a perfect recorder filled, and that is then damaged in every way."""

import json

import pytest
from click.testing import CliRunner

from app.cli.simulator import check
from app.errors import DatabaseError
from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.simulator.check.report import BookFindings, Findings, SimHole, SimReport, text_lines
from app.simulator.market.changes import SimDelta, SimLifecycle, SimTrade
from tests.servers import new_database
from tests.simulator.judging import Recorded, found
from tests.simulator.recording import START_US, Run, insert

EVERY_RECORD = ("orderbook_deltas", "trades", "tickers", "lifecycle_events")


@pytest.fixture(scope="module")
def recording(tmp_path_factory, server, templates):
    """A quarter of a minute, recorded without a fault, books first: the run, its truth, and its database."""
    truth = tmp_path_factory.mktemp("recording") / "truth"
    run = Run(truth).record_books(range(100)).advance(15).record_everything()
    database = new_database(server, templates[DatabaseKind.PRODUCTION])
    with connected(database) as connection:
        run.write(connection)
        connection.commit()
    return run, truth, database


@pytest.fixture
def recorded(recording):
    _, truth, database = recording
    with connected(database) as connection:
        yield Recorded(truth, connection)


@pytest.fixture
def truth(tmp_path):
    return tmp_path / "truth"


@pytest.fixture
def written(production, truth):
    """Writes what a test's own run has recorded."""
    with connected(production) as connection:

        def write(run):
            run.write(connection)
            return Recorded(truth, connection)

        yield write


def test_a_perfect_recording_passes(recording, recorded):
    report = recorded.judge()
    assert found(report) == {}
    expected = {table["table"]: table["expected"] for table in report["tables"]}
    assert expected["orderbook_deltas"] == sum(isinstance(change, SimDelta) for _, change in recording[0].seen)
    assert min(expected.values()) > 20
    assert report["books"]["compared"] > 100
    assert report["books"]["snapshots_compared"] == 100


@pytest.mark.parametrize("table", EVERY_RECORD)
def test_a_row_that_is_gone_is_lost(recorded, table):
    recorded.delete_one(table)
    assert without_books(recorded.found()) == {(table, "lost"): 1}


@pytest.mark.parametrize("gone", [0, 1])
def test_either_of_two_equal_changes_is_missed(recorded, gone):
    columns = "exchange_ts, ticker, clock, yes_side, price_e6, delta_e2"
    recorded.delete_one(
        "orderbook_deltas", f"nth = {gone} AND ({columns}) IN (SELECT {columns} FROM orderbook_deltas WHERE nth = 1)"
    )
    assert without_books(recorded.found()) == {("orderbook_deltas", "lost"): 1}


def test_a_change_recorded_once_more_is_duplicated(recorded):
    recorded.copy_one("orderbook_deltas", nth="nth + 5")
    assert without_books(recorded.found()) == {("orderbook_deltas", "duplicated"): 1}


@pytest.mark.parametrize("table", EVERY_RECORD)
def test_what_an_earlier_history_left_is_not_looked_at(recorded, table):
    earlier = {"exchange_ts": "exchange_ts - INTERVAL '1 hour'"}
    recorded.copy_one(table, **earlier | ({"trade_id": "'earlier'"} if table == "trades" else {}))
    assert found(recorded.judge()) != {}
    assert found(recorded.judge(since_us=START_US)) == {}


@pytest.mark.parametrize("table", ["trades", "tickers"])
def test_a_record_under_another_time_is_duplicated(recorded, table):
    recorded.copy_one(table, exchange_ts="exchange_ts + INTERVAL '2 seconds'")
    assert recorded.found() == {(table, "duplicated"): 1}


def test_a_lifecycle_message_recorded_once_more_is_duplicated(recorded):
    recorded.copy_one("lifecycle_events", nth="nth + 7")
    assert recorded.found() == {("lifecycle_events", "duplicated"): 1}


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("orderbook_deltas", "delta_e2 = delta_e2 + 100"),
        ("orderbook_deltas", "price_e6 = CASE price_e6 WHEN 10000 THEN 20000 ELSE 10000 END"),
        ("orderbook_deltas", "yes_side = NOT yes_side"),
        ("orderbook_deltas", "clock = clock + 1000000"),
        ("orderbook_deltas", "exchange_ts = exchange_ts + INTERVAL '3 milliseconds'"),
        ("trades", "size_e2 = size_e2 + 1"),
        ("trades", "taker_yes = NOT taker_yes"),
        ("trades", "is_block_trade = NULL"),
        ("trades", "exchange_ts = exchange_ts + INTERVAL '5 seconds'"),
        ("tickers", "volume_e2 = volume_e2 + 1"),
        ("tickers", "yes_bid_size_e2 = yes_bid_size_e2 + 1"),
        ("lifecycle_events", "payload = payload || '{{\"close_ts\": 1}}'"),
    ],
)
def test_a_row_that_says_something_else_is_altered(recorded, table, change):
    recorded.update_one(table, change, "nth = 0" if table == "tickers" else "TRUE")
    assert without_books(recorded.found()) == {(table, "altered"): 1}


def test_a_record_of_what_never_happened_is_unexpected(recorded):
    with recorded.connection.cursor() as cursor:
        delta = (START_US + 5_000_000, START_US, 3, 100, 10_000, 0, True, False, False, "KXNOWHERE-26NOV211-T1")
        insert(cursor, "orderbook_deltas", [delta])
        trade = (START_US + 5_000_000, START_US, 100, 10_000, True, False, True, "KXNOWHERE-26NOV211-T1", "invented")
        insert(cursor, "trades", [trade])
        paused = (START_US, START_US, 1, 0, "KXNOWHERE-26NOV211-T1", "deactivated", '{"is_deactivated": true}')
        insert(cursor, "lifecycle_events", [paused])
    tables = ("orderbook_deltas", "trades", "lifecycle_events")
    assert recorded.found() == {(table, "unexpected"): 1 for table in tables}


def test_a_snapshot_that_shows_another_book_is_altered(recorded):
    recorded.update_one(
        "orderbook_snapshots", "yes_sizes_e2[1] = yes_sizes_e2[1] + 1", "cardinality(yes_prices_e6) > 0"
    )
    assert set(recorded.found()) == {("books", "altered")}


def test_a_lost_change_of_a_hot_market_makes_its_books_differ(recorded):
    hottest = "SELECT ticker FROM orderbook_deltas GROUP BY ticker ORDER BY count(*) DESC LIMIT 1"
    recorded.delete_one("orderbook_deltas", f"ticker = ({hottest})")
    assert set(recorded.found()) == {("orderbook_deltas", "lost"), ("books", "altered")}


def test_a_change_without_its_time_is_matched_by_its_clock(recorded):
    recorded.update_one("orderbook_deltas", "ts_missing = TRUE, exchange_ts = exchange_ts + INTERVAL '7 seconds'")
    assert recorded.found() == {}


def test_a_change_with_and_without_its_time_is_duplicated(recorded):
    recorded.copy_one("orderbook_deltas", ts_missing="TRUE", exchange_ts="exchange_ts + INTERVAL '7 seconds'")
    assert without_books(recorded.found()) == {("orderbook_deltas", "duplicated"): 1}


def test_a_change_after_a_gap_is_a_change_like_any_other(recorded):
    recorded.update_one("orderbook_deltas", "after_gap = TRUE")
    assert recorded.found() == {}


def test_what_nobody_was_sent_is_a_hole_and_not_lost(truth, written):
    run = Run(truth).record_books(range(100)).advance(10)
    before = len(run.seen)
    run.advance(5, to=())
    after = len(run.seen)
    run.advance(10)
    run.record(change for ordinal, change in run.seen if not before <= ordinal < after)
    missed = [change for _, change in run.seen[before:after] if getattr(change, "message_type", "") != "silent"]
    report = written(run).judge()
    assert report["ok"]
    assert {what for _, what in found(report)} == {"unfillable"}
    assert sum(found(report).values()) == len(missed)
    assert report["books"]["with_holes"] > 0
    bounds_ms = [run.seen[before][1].at_us // 1_000, run.seen[after][1].at_us // 1_000]
    for hole in (hole for table in report["tables"] for hole in table["holes"].values()):
        assert bounds_ms[0] <= hole["first_ms"] <= hole["last_ms"] <= bounds_ms[1]
    deltas = report["tables"][0]
    assert sum(hole["changes"] for hole in deltas["holes"].values()) == deltas["unfillable"]


def test_what_came_on_another_connection_or_by_rest_is_fine(truth, written):
    run = Run(truth).record_books(range(100))
    run.advance(5, to=("a",)).advance(5, to=("b",))
    until_us = run.exchange.now_us
    run.advance(5, to=())
    run.record(change for _, change in run.seen if change.at_us <= until_us or isinstance(change, SimTrade))
    report = written(run).judge()
    assert report["ok"]
    assert not {("trades", "lost"), ("trades", "unfillable")} & set(found(report))


def test_equal_changes_that_connections_saw_one_each_may_count_once(truth, written):
    run = Run(truth).record_books(range(100))
    told, again = {}, 0
    for change in run.exchange.advance(START_US + 10_000_000):
        ordinal = run.truth.history(change)
        earlier = told.get(change, 0) if isinstance(change, SimDelta) else 0
        run.truth.sent(f"connection-{earlier}", ordinal)
        if isinstance(change, SimDelta):
            told[change] = earlier + 1
        if earlier:
            again += 1
        else:
            run.seen.append((ordinal, change))
    assert again
    report = written(run.record_everything()).judge()
    assert report["ok"]
    assert found(report) == {("orderbook_deltas", "unfillable"): again}


def test_clocks_that_restart_confuse_nothing(truth, written):
    run = Run(truth).record_books(range(100)).advance(8)
    run.exchange.pause()
    run.exchange.restart_clocks()
    run.exchange.resume()
    run.advance(1).record_books(range(100)).advance(8)
    report = written(run.record_everything()).judge()
    assert found(report) == {}
    assert report["books"]["compared"] > 50
    assert any(isinstance(change, SimLifecycle) and change.event_type == "clocks_restarted" for _, change in run.seen)


def test_the_older_wire_is_compared_by_what_it_can_say(truth, written):
    run = Run(truth, wire="cents").advance(20)
    recorded = written(run.record_in_cents())
    report = recorded.judge()
    assert found(report) == {}
    assert all(table["found"] == table["expected"] > 0 for table in report["tables"])
    recorded.update_one("orderbook_deltas", "delta_e2 = delta_e2 + 7", "nth = 0")
    recorded.delete_one("trades")
    assert recorded.found() == {("orderbook_deltas", "altered"): 1, ("trades", "lost"): 1}


def test_the_command_tells_people_and_programs_and_exits_accordingly(server, recording):
    _, truth, template = recording
    database = new_database(server, template)
    arguments = ["--truth", str(truth), "--production", database.reveal()]
    clean = CliRunner().invoke(check, arguments)
    assert (clean.exit_code, clean.stdout.splitlines()[-1]) == (0, "Production is exactly what happened.")
    with connected(database) as connection:
        Recorded(truth, connection).delete_one("trades")
        connection.commit()
    damaged = CliRunner().invoke(check, arguments)
    assert (damaged.exit_code, damaged.stdout.splitlines()[-1]) == (1, "Production is not what happened.")
    assert "trades lost" in damaged.stdout
    as_json = CliRunner().invoke(check, [*arguments, "--json"])
    report = json.loads(as_json.stdout)["production"]
    assert (as_json.exit_code, report["ok"], found(report)) == (1, False, {("trades", "lost"): 1})


def test_a_person_reads_where_the_holes_are():
    hole = SimHole("KXTEMPALDPORT-26NOV210-T1", START_US // 1_000, START_US // 1_000 + 1_500, 12)
    findings = Findings("trades", unfillable=12, holes={hole.ticker: hole})
    lines = list(text_lines("production", SimReport([findings], BookFindings())))
    assert lines[-1] == "Production is exactly what happened."
    assert lines[-2] == "  KXTEMPALDPORT-26NOV210-T1: 12 from 2026-11-21T07:40:14.000Z to 2026-11-21T07:40:15.500Z"


def test_a_database_that_is_something_else_is_refused(server, recording):
    arguments = ["--truth", str(recording[1]), "--production", server.dsn("postgres").reveal()]
    result = CliRunner().invoke(check, arguments)
    assert isinstance(result.exception, DatabaseError)
    assert "postgres is no production database" in str(result.exception)


def test_a_connection_string_that_is_none_is_refused(tmp_path):
    result = CliRunner().invoke(check, ["--truth", str(tmp_path), "--production", "not a dsn"])
    assert result.exit_code == 2
    assert "connection string" in result.output


def without_books(findings):
    """Where a change is not as it was, some books may differ, if one of the sampled ones comes after it."""
    return {finding: count for finding, count in findings.items() if finding[0] != "books"}


def test_snapshots_that_were_sent_and_are_gone_are_lost(truth, written):
    run = Run(truth).record_books(range(100))
    for market in range(100):
        run.truth.snapshot("a", market, run.exchange.book(market).clock)
    recorded = written(run.advance(5).record_everything())
    assert found(recorded.judge()) == {}
    with recorded.connection.cursor() as cursor:
        cursor.execute("DELETE FROM orderbook_snapshots")
    report = recorded.judge()
    assert report["books"]["lost"] > 0
    assert not report["ok"]


def test_a_snapshot_of_a_market_that_there_is_not_is_unexpected(recorded):
    recorded.copy_one("orderbook_snapshots", ticker="'KXNONE-1'")
    report = recorded.judge()
    assert (report["ok"], report["books"]["unexpected"]) == (False, 1)


def test_a_run_that_sent_nothing_proves_nothing(truth, written):
    report = written(Run(truth).advance(2, to=())).judge()
    assert (report["ok"], report["is_proof"], found(report) == {}) == (False, False, False)
    assert all(what == "unfillable" for _, what in found(report))
