"""raw/ of several gatherers to processed/, held against production's way."""

from datetime import datetime, timedelta

import pytest

from app.lake.archive import Archive, RawArchive
from app.lake.engines import duckdb_engine
from app.lake.reader import lake_of
from app.lake.rebuild import rebuild
from app.lake.storage import FolderStorage
from app.postgres.databases import DatabaseKind
from app.storage.tables import GATHERER_TABLES, ORDERBOOK_DELTAS, PRODUCTION_TABLES
from tests.lake.exporting import export_all, write
from tests.servers import new_database
from tests.simulator.recording import Run
from tests.storage import rows


@pytest.fixture
def lake(tmp_path, server, templates, production):
    """Two gatherers that each lost every third row and heard some without a time, and production with all."""
    run = Run(tmp_path / "truth", markets=20, rate=200).record_books(range(20)).advance(15).record_everything()
    run.record_books(range(20))
    storage = FolderStorage(tmp_path / "lake")
    for position, name in enumerate(("a", "b")):
        dsn = new_database(server, templates[DatabaseKind.TIMESERIES])
        for table in GATHERER_TABLES:
            heard = [
                as_heard(table, number, row, position)
                for number, row in enumerate(run.rows[table.name])
                if number % 3 != position
            ]
            write(dsn, table, [(*encoded(table, row), *rows.lineage(table)) for row in heard])
        export(RawArchive(dsn, storage, name))
    for table in PRODUCTION_TABLES:
        best = [as_heard(table, number, row, position=0) for number, row in enumerate(run.rows[table.name])]
        write(production, table, [encoded(table, row) for row in best])
    export(Archive(production, storage))
    run.truth.close()
    return storage


def as_heard(table, number, row, position):
    """Of what both heard, the second heard some without a time. Of what the first heard alone, it heard some changes so:
    a quote without a time is that of any copy within the second, and there may be an equal one."""
    alone = number % 21 == 1 and table.name == "orderbook_deltas"
    is_untimed = alone or (number % 15 == 5 and position == 1 and "ts_missing" in table.column_names)
    if not is_untimed:
        return row
    return untimed(table, row)


def untimed(table, row, later_us=1_000):
    values = dict(zip(table.column_names, row, strict=False))
    values |= {"exchange_ts": values["exchange_ts"] + later_us, "ts_missing": True}
    return tuple(values.values())


def encoded(table, row):
    return (*row[:-1], row[-1].encode()) if table.name == "lifecycle_events" else row


def export(archive):
    with archive.opened() as opened:
        export_all(opened.exporter, opened.ledger, archive.datasets().values())
        while not archive.is_raw and opened.candles.make_next():
            continue


def objects(storage):
    keys = [key for folder in ("processed", "aggregates") for key in storage.keys(folder)]
    return {key: storage.read(key) for key in keys}


def period_of(lake):
    hour = min(key.split("date=")[1] for key in lake.keys("raw"))
    start = datetime.fromisoformat(f"{hour[:10]}T{hour[16:18]}:00:00+00:00")
    return start, start + timedelta(hours=2)


def rebuilt(lake, folder):
    into = FolderStorage(folder)
    with duckdb_engine() as opened:
        rebuild(opened, lake, into, *period_of(lake))
    return objects(into)


def test_duckdb_makes_the_same_bytes_as_the_exporter(lake, tmp_path):
    found, expected = rebuilt(lake, tmp_path / "rebuilt"), objects(lake)
    assert found.keys() == expected.keys()
    assert [key for key in found if found[key] != expected[key]] == []


def test_an_event_that_was_heard_in_two_hours_lies_in_one(tmp_path, server, templates):
    storage = FolderStorage(tmp_path / "lake")
    timed = rows.delta(at_us=rows.NOON_US - 1_000)
    for name, heard in (("a", [timed]), ("b", [untimed(ORDERBOOK_DELTAS, timed, later_us=2_000), rows.delta(clock=2)])):
        dsn = new_database(server, templates[DatabaseKind.TIMESERIES])
        write(dsn, ORDERBOOK_DELTAS, heard)
        export(RawArchive(dsn, storage, name))
    rebuilt(storage, tmp_path / "rebuilt")
    found = (
        lake_of(FolderStorage(tmp_path / "rebuilt"))
        .dataset("orderbook_deltas")
        .to_table(["hour", "clock", "ts_missing"])
        .to_pylist()
    )
    assert found == [{"hour": 11, "clock": 1, "ts_missing": False}, {"hour": 12, "clock": 2, "ts_missing": False}]
