"""The lake stands alone: coverage and reference data as production has them, and a description that runs by itself."""

import ast
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import duckdb
import pytest
from pyarrow import parquet

import kalshi_data as kd
from app.lake import knowledge
from app.lake.archive import Archive
from app.lake.knowledge import COVERAGE, KnowledgeExport
from app.lake.parquet import write_sorted
from app.lake.storage import FolderStorage, StorageError
from app.storage.tables import PRODUCTION_TRADES
from kalshi_data.coverage import BOOKS
from kalshi_data.description import VIEWS
from kalshi_data.schema import schema_of
from tests.gatherers import execute
from tests.lake.exporting import ledger_of, write

HOUR = timedelta(hours=1)
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
TICKER = "KXA-1-T5"
HOLE = (NOON + timedelta(minutes=10), NOON + timedelta(minutes=11))
LEDGER = "SELECT table_name, hour, row_count, verified_at IS NOT NULL, failures FROM exports ORDER BY table_name, hour"
CHANGES = "SELECT changed_through FROM exports WHERE table_name = 'coverage'"
MARKET = """
    INSERT INTO markets (ticker, event_ticker, title, status, market_type, result, open_time, close_time,
        settlement_value_e6, updated_at, details)
    VALUES (%s, 'KXA-1', 'Above 5?', 'active', 'binary', '', %s, %s, NULL, %s, '{"rules": "as agreed — ä"}')
"""


@pytest.fixture
def known(production):
    """A production that has judged one hour, in which a book has a hole and trades were repaired."""
    execute(
        production, "INSERT INTO series (ticker, title, updated_at, details) VALUES ('KXA', 'A', %s, '{}')", (NOON,)
    )
    execute(
        production,
        "INSERT INTO events (event_ticker, series_ticker, title, updated_at, details) VALUES ('KXA-1', 'KXA', 'A1', %s, '{}')",
        (NOON,),
    )
    for ticker, closes in ((TICKER, NOON + 9 * HOUR), ("KXA-1-T6", NOON + HOUR / 2), ("KXA-1-OLD", NOON - 30 * HOUR)):
        execute(production, MARKET, (ticker, NOON - 40 * HOUR, closes, NOON - 30 * HOUR))
    execute(production, "INSERT INTO coverage_changes (hour) VALUES (%s)", (NOON,))
    execute(
        production,
        "INSERT INTO coverage_hours (hour, known_until, judged_changes, judged_at) VALUES (%s, %s, 0, %s)",
        (NOON, NOON + HOUR, NOON + HOUR),
    )
    add_coverage(production, BOOKS, TICKER, "hole", HOLE)
    execute(
        production,
        "INSERT INTO coverage (hour, channel, ticker, state, holes, repaired, repaired_by) "
        "VALUES (%s, 'trade', '', 'repaired', '{}', tstzmultirange(tstzrange(%s, %s)), '{rest}')",
        (NOON, *HOLE),
    )
    write(production, PRODUCTION_TRADES, [trade(1)])
    return production


def add_coverage(production, channel, ticker, state, hole):
    execute(
        production,
        "INSERT INTO coverage (hour, channel, ticker, state, holes, repaired, repaired_by) "
        "VALUES (%s, %s, %s, %s, tstzmultirange(tstzrange(%s, %s)), '{}', '{b}')",
        (NOON, channel, ticker, state, *hole),
    )


def trade(number):
    time_us = int(NOON.timestamp()) * 1_000_000 + number
    return (time_us, time_us, 150, 420_000, True, None, False, TICKER, f"trade {number}")


def exported(production, storage):
    """Everything, as the exporter does it round by round. Return the number of rounds."""
    archive = Archive(production, storage)
    rounds = 0
    with archive.opened() as opened:
        for dataset in archive.datasets().values():
            opened.survey(dataset)
            for hour in opened.ledger.hours(dataset, NOON, NOON + HOUR):
                opened.export(dataset, hour)
    while archive.write_knowledge():
        rounds += 1
    return rounds


def test_coverage_is_that_of_production(known, storage):
    exported(known, storage)
    rows = kd.open(storage.folder).coverage_hours().to_arrow().to_pylist()
    found = {(row["ticker"], row["channel"]): row for row in rows}
    assert len(rows) == len(found) == 4 + 2
    assert {key: row["state"] for key, row in found.items()} == {
        ("", "trade"): "repaired",
        ("", "ticker"): "complete",
        ("", "market_lifecycle_v2"): "complete",
        ("", "multivariate_market_lifecycle"): "complete",
        (TICKER, BOOKS): "hole",
        ("KXA-1-T6", BOOKS): "complete",
    }
    book = found[TICKER, BOOKS]
    assert ([*zip(book["holes_from"], book["holes_until"], strict=True)], book["repaired_by"]) == ([HOLE], ["b"])
    assert found["KXA-1-T6", BOOKS]["until"] == NOON + HOUR / 2 + timedelta(seconds=1)
    trades = found["", "trade"]
    assert (trades["repaired_from"], trades["repaired_by"]) == ([HOLE[0]], ["rest"])


def test_the_library_reads_holes_from_it(known, storage):
    exported(known, storage)
    lake = kd.open(storage.folder)
    coverage = lake.coverage(TICKER, NOON, NOON + HOUR)
    assert (coverage.state, coverage.holes, coverage.known_until) == ("hole", (HOLE,), NOON + HOUR)
    assert lake.trades(TICKER, NOON, NOON + HOUR).coverage.state == "repaired"
    assert lake.coverage("KXA-1-T6", NOON, NOON + HOUR).state == "complete"


def test_of_an_hour_whose_books_production_has_forgotten_the_lake_claims_nothing(known, storage):
    execute(known, "UPDATE coverage_horizon SET books_since = %s", (NOON + HOUR,))
    exported(known, storage)
    lake = kd.open(storage.folder)
    assert lake.coverage(TICKER, NOON, NOON + HOUR).state == "unknown"
    assert lake.coverage(None, NOON, NOON + HOUR).state == "unknown"
    assert lake.trades(None, NOON, NOON + HOUR).coverage.state == "repaired"


def test_markets_are_those_of_production_with_their_series(known, storage):
    exported(known, storage)
    lake = kd.open(storage.folder)
    [details] = set(lake.markets(series="KXA").to_arrow()["details"].to_pylist())
    assert json.loads(details) == {"rules": "as agreed — ä"}
    assert TICKER in lake.markets(event="KXA-1").to_arrow()["ticker"].to_pylist()
    table = parquet.read_table(storage.folder / "reference/markets/date=2026-11-01/part-0.parquet", partitioning=None)
    assert table["ticker"].to_pylist() == [TICKER, "KXA-1-T6"]
    assert table.schema.equals(schema_of("markets"), check_metadata=True)
    with pytest.raises(kd.UnknownNameError, match=TICKER):
        lake.trades("KXA-1-T55")


def test_everything_is_verified_and_nothing_is_written_twice(known, storage):
    assert exported(known, storage) >= 1
    ledger = execute(known, LEDGER)
    assert {name for name, *_ in ledger} == {"coverage", "events", "markets", "series", "trades"}
    assert all(verified and not failures for name, _, _, verified, failures in ledger if name != "trades")
    versions = {key: storage.version(key) for key in storage.keys("coverage")}
    assert exported(known, storage) == 0
    assert {key: storage.version(key) for key in storage.keys("coverage")} == versions


def test_a_round_writes_one_object_of_each_kind_at_most(known, storage):
    archive = Archive(known, storage)
    with archive.opened() as opened:
        opened.survey(archive.datasets()["trades"])
        opened.knowledge.note()
        assert opened.knowledge.write_next()
    assert len(list(storage.keys("coverage"))) == 1
    assert all(len(list(storage.keys(f"reference/{name}"))) == 1 for name in ("markets", "events", "series"))


def test_coverage_is_written_again_when_the_hour_is_judged_again(known, storage):
    exported(known, storage)
    add_coverage(known, BOOKS, "KXA-1-T6", "hole", HOLE)
    execute(known, "UPDATE coverage_hours SET judged_at = judged_at + INTERVAL '1 minute'")
    exported(known, storage)
    assert kd.open(storage.folder).coverage("KXA-1-T6", NOON, NOON + HOUR).holes == (HOLE,)


def test_an_hour_that_is_not_settled_waits_unless_it_is_asked_for(production, storage):
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    execute(production, "INSERT INTO coverage_changes (hour) VALUES (%s)", (now,))
    execute(
        production,
        "INSERT INTO coverage_hours (hour, known_until, judged_changes, judged_at) VALUES (%s, %s, 0, now())",
        (now, now + timedelta(seconds=1)),
    )
    exported(production, storage)
    assert list(storage.keys("coverage")) == []
    with ledger_of(production, storage) as ledger:
        KnowledgeExport(production, ledger, storage).write(now, now + HOUR)
    [pending] = {row["state"] for row in kd.open(storage.folder).coverage_hours().to_arrow().to_pylist()}
    assert pending == "pending"


def test_what_production_has_forgotten_stays_in_the_lake(known, storage):
    exported(known, storage)
    execute(known, "UPDATE coverage_horizon SET books_since = %s", (NOON + HOUR,))
    execute(known, "UPDATE coverage_hours SET judged_at = judged_at + INTERVAL '1 minute'")
    exported(known, storage)
    assert kd.open(storage.folder).coverage(TICKER, NOON, NOON + HOUR).holes == (HOLE,)


class Corrupting(FolderStorage):
    """Storage that keeps something else than what it was given."""

    is_broken = True

    def put_file(self, key, path, replaces):
        super().put_file(key, path, replaces)
        if self.is_broken and key.startswith("coverage"):
            (self.folder / key).write_bytes(path.read_bytes()[:-1] + b"?")


def test_an_object_that_does_not_come_back_as_it_was_is_not_verified_and_tried_again(known, tmp_path):
    storage = Corrupting(tmp_path / "lake")
    with ledger_of(known, storage) as ledger:
        export = KnowledgeExport(known, ledger, storage)
        export.note()
        export.write_next()
        [found] = [row for row in execute(known, LEDGER) if row[0] == COVERAGE.name]
        assert found[3:] == (False, 1)
        execute(known, "UPDATE exports SET retry_at = NULL")
        storage.is_broken = False
        while export.write_next():
            continue
        [found] = [row for row in execute(known, LEDGER) if row[0] == COVERAGE.name]
        assert found[3:] == (True, 0)


@pytest.mark.parametrize("written", ["FROM given LIMIT 1", "FROM given UNION ALL FROM given"], ids=["fewer", "more"])
def test_an_object_with_fewer_or_more_rows_than_production_gave_is_not_verified(known, storage, monkeypatch, written):
    monkeypatch.setattr(knowledge, "write_sorted", lambda session, _, *rest: write_sorted(session, written, *rest))
    with ledger_of(known, storage) as ledger:
        export = KnowledgeExport(known, ledger, storage)
        export.note()
        export.write_next()
    [found] = [row for row in execute(known, LEDGER) if row[0] == COVERAGE.name]
    assert found[3:] == (False, 1)


def test_a_lake_that_cannot_be_written_is_an_error_of_the_storage(known, tmp_path):
    storage = FolderStorage(tmp_path / "lake")
    archive = Archive(known, storage)
    archive.prove_writable()
    (tmp_path / "lake/README.md").mkdir(parents=True)
    with pytest.raises(StorageError):
        archive.describe()


def test_the_lake_describes_itself(known, storage):
    exported(known, storage)
    described = json.loads(storage.read("_schema.json"))["tables"]
    for table, schema in described.items():
        assert [column["name"] for column in schema["columns"]] == schema_of(table).names
        assert all(column["description"] for column in schema["columns"])
    readme = storage.read("README.md").decode()
    assert all(f"`{schema['folder']}/`" in readme for schema in described.values())


PROGRAM = """
import sys, duckdb
session = duckdb.connect()
session.execute(open("lake.sql").read())
for view in sys.argv[1:]:
    print(view, session.sql(f"SELECT count(*) FROM {view}").fetchall()[0][0])
print(session.sql("SELECT yes_price, size, yes_price * size, date, hour FROM trades").fetchall())
print(session.sql("SELECT ticker, series_ticker FROM markets ORDER BY ticker").fetchall())
print(session.sql("SELECT holes_from[1] < holes_until[1] FROM coverage WHERE state = 'hole'").fetchall())
"""


def test_lake_sql_runs_in_the_lake_s_folder(known, storage):
    exported(known, storage)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *VIEWS.values()], cwd=storage.folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    counts = dict(line.split() for line in lines[: len(VIEWS)])
    assert (counts["trades"], counts["coverage"], counts["quotes"], counts["candles"]) == ("1", "6", "0", "0")
    assert lines[-3] == (
        "[(Decimal('0.420000'), Decimal('1.50'), Decimal('0.63000000'), datetime.date(2026, 11, 1), 12)]"
    )
    assert ("KXA-1-T5", "KXA") in ast.literal_eval(lines[-2])
    assert lines[-1] == "[(True,)]"


def test_lake_sql_has_the_tables_that_come_later(known, storage, monkeypatch):
    archive = Archive(known, storage)
    archive.describe()
    exported(known, storage)
    archive.describe()
    monkeypatch.chdir(storage.folder)
    with duckdb.connect() as session:
        session.execute((storage.folder / "lake.sql").read_text())
        assert session.sql("SELECT count(*) FROM trades").fetchall() == [(1,)]
