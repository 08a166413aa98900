import time
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from pyarrow import parquet

from app.lake.exporter import HourExporter
from app.lake.layout import PROCESSED, schema_of
from app.lake.ledger import ChangedHours, survey
from app.lake.parquet import Manifest, duckdb_session, write_sorted
from app.lake.storage import ReplacedError
from app.lake.verifier import FileVerdict
from app.postgres.connection import connected, value_of
from app.postgres.databases import DatabaseKind
from app.storage.arrivals import arrivals_session
from app.storage.tables import PRODUCTION_ORDERBOOK_DELTAS
from tests.lake.exporting import EVER, export_all, ledger_of, write
from tests.servers import new_database
from tests.storage import rows

DELTAS = PROCESSED["orderbook_deltas"]
NOON = datetime.fromtimestamp(rows.NOON_US / 1e6, UTC)
HOUR = timedelta(hours=1)
HOUR_US = 3_600_000_000


def delta(**values):
    return rows.delta(lineage=(), **values)


def test_an_hour_lies_sorted_by_ticker_and_time_in_one_file(production, exporter, ledger, storage):
    deltas = [delta(ticker=f"KX-{number % 3}", at_us=rows.NOON_US - number, clock=number) for number in range(9)]
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [*deltas, delta(at_us=rows.NOON_US + HOUR_US)])
    export_all(exporter, ledger)
    files = sorted(storage.keys("processed"))
    assert files == [f"processed/orderbook_deltas/date=2026-11-01/hour={hour}/part-0.parquet" for hour in (11, 12, 13)]
    table = parquet.read_table(storage.folder / files[0], partitioning=None)
    found = list(zip(table["ticker"].to_pylist(), table["exchange_ts"].to_pylist(), strict=True))
    assert found == sorted(found)
    assert len(found) == 8


def test_what_was_exported_is_verified(production, exporter, verifier, ledger):
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(clock=number) for number in range(10)])
    export_all(exporter, ledger)
    assert verifier.verify(DELTAS, NOON) == (FileVerdict.SAME, 10, "")
    assert ledger.unfinished(DELTAS, 0) == []


def clocks(storage, hour=NOON):
    return parquet.read_table(storage.folder / DELTAS.object_key(hour), partitioning=None)["clock"].to_pylist()


def execute(connection, statement, *parameters):
    with connection, connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def test_the_same_rows_make_the_same_bytes(production, exporter, ledger, storage):
    write(
        production,
        PRODUCTION_ORDERBOOK_DELTAS,
        [delta(clock=number, at_us=rows.NOON_US + number % 7) for number in range(50)],
    )
    export_all(exporter, ledger)
    first = {key: storage.read(key) for key in storage.keys("")}
    export_all(exporter, ledger)
    assert {key: storage.read(key) for key in storage.keys("")} == first


def test_an_hour_waits_until_it_has_ended_and_nothing_comes_any_more(production, exporter, ledger):
    this_hour_us = time.time_ns() // 1_000
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(at_us=this_hour_us), delta()])
    exporter.survey(DELTAS)
    assert [unfinished.hour for unfinished in ledger.unfinished(DELTAS, settle_seconds=0)] == [NOON]
    assert ledger.unfinished(DELTAS, settle_seconds=300) == []


def test_a_late_row_has_its_hour_written_anew(production, exporter, verifier, ledger, storage):
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(clock=1)])
    export_all(exporter, ledger)
    verifier.verify(DELTAS, NOON)
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(clock=2)])
    assert verifier.verify(DELTAS, NOON).verdict is FileVerdict.OUTDATED
    export_all(exporter, ledger)
    assert clocks(storage) == [1, 2]
    assert verifier.verify(DELTAS, NOON).verdict is FileVerdict.SAME


def test_a_row_that_is_withdrawn_reopens_its_hour(production, exporter, verifier, ledger, storage):
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(clock=1), delta(clock=2)])
    export_all(exporter, ledger)
    with connected(production) as connection:
        execute(connection, "DELETE FROM orderbook_deltas WHERE clock = 2")
        execute(connection, "UPDATE exports SET through_ingest_id = 0, verified_at = NULL")
    assert verifier.verify(DELTAS, NOON).verdict is FileVerdict.OUTDATED
    assert ledger.unfinished(DELTAS, 0)[0].is_to_be_written
    export_all(exporter, ledger)
    assert (clocks(storage), verifier.verify(DELTAS, NOON).verdict) == ([1], FileVerdict.SAME)


def test_a_row_that_is_withdrawn_while_its_hour_is_written_leaves_it_to_be_written(
    production, exporter, ledger, storage
):
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(clock=1), delta(clock=2)])
    exporter.survey(DELTAS)
    put_file = storage.put_file

    def withdraw_first(*arguments):
        with connected(production) as connection:
            execute(connection, "DELETE FROM orderbook_deltas WHERE clock = 2")
            execute(connection, "UPDATE exports SET through_ingest_id = 0, verified_at = NULL")
        put_file(*arguments)

    storage.put_file = withdraw_first
    assert not exporter.export(DELTAS, NOON).is_final
    storage.put_file = put_file
    assert ledger.unfinished(DELTAS, 0)[0].is_to_be_written


def test_rows_that_the_database_has_dropped_stay_when_late_ones_come(production, exporter, verifier, ledger, storage):
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(clock=1), delta(clock=2)])
    export_all(exporter, ledger)
    with connected(production) as connection:
        value_of(connection, "SELECT drop_chunk('orderbook_deltas', %s, 1000)", (NOON.replace(hour=0),))
        connection.commit()
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(clock=2), delta(clock=3)])
    export_all(exporter, ledger)
    assert clocks(storage) == [1, 2, 3]
    assert verifier.verify(DELTAS, NOON).verdict is FileVerdict.ARCHIVED


def test_what_the_lake_has_stays_when_production_was_put_back(production, exporter, verifier, ledger, storage):
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(clock=1), delta(clock=2)])
    export_all(exporter, ledger)
    with connected(production) as connection:
        execute(connection, "DELETE FROM orderbook_deltas WHERE clock = 2")
        execute(
            connection,
            "INSERT INTO gatherer_losses (gatherer, table_name, started_at, ended_at) VALUES ('a', %s, %s, %s)",
            *("orderbook_deltas", NOON + HOUR / 2, NOON + 5 * HOUR),
        )
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(clock=3)])
    export_all(exporter, ledger)
    assert clocks(storage) == [1, 2, 3]
    assert verifier.verify(DELTAS, NOON).verdict is FileVerdict.ARCHIVED


def test_an_hour_that_this_production_never_wrote_is_added_to(production, exporter, ledger, storage, server, templates):
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(clock=1), delta(clock=2)])
    export_all(exporter, ledger)
    earlier = new_database(server, templates[DatabaseKind.PRODUCTION])
    write(earlier, PRODUCTION_ORDERBOOK_DELTAS, [delta(clock=2), delta(clock=3)])
    with ledger_of(earlier, storage) as its_ledger:
        export_all(HourExporter(earlier, its_ledger, storage), its_ledger)
    assert clocks(storage) == [1, 2, 3]


def test_as_many_rows_with_another_value_are_a_difference(production, exporter, verifier, ledger):
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(clock=1), delta(clock=2)])
    export_all(exporter, ledger)
    with connected(production) as connection:
        execute(connection, "UPDATE orderbook_deltas SET delta_e2 = delta_e2 + 1 WHERE clock = 2")
    finding = verifier.verify(DELTAS, NOON)
    assert (finding.verdict, finding.rows) == (FileVerdict.DIFFERENT, 2)
    assert [unfinished.hour for unfinished in ledger.unfinished(DELTAS, 0)] == [NOON]


@pytest.fixture
def with_dropped_rows(production, exporter, ledger):
    """The lake has three rows, of which the database still has the third."""
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(clock=1), delta(clock=2)])
    export_all(exporter, ledger)
    with connected(production) as connection:
        value_of(connection, "SELECT drop_chunk('orderbook_deltas', %s, 1000)", (NOON.replace(hour=0),))
        connection.commit()
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(clock=3)])
    export_all(exporter, ledger)


def test_a_late_row_that_the_object_lacks_is_a_difference_though_it_has_more(production, verifier, with_dropped_rows):
    assert verifier.verify(DELTAS, NOON).verdict is FileVerdict.ARCHIVED
    with connected(production) as connection:
        execute(connection, "UPDATE orderbook_deltas SET clock = 4")
    assert verifier.verify(DELTAS, NOON).verdict is FileVerdict.DIFFERENT


def test_another_object_than_the_one_that_was_written_is_a_difference(verifier, storage, tmp_path, with_dropped_rows):
    key = DELTAS.object_key(NOON)
    changed = parquet.read_table(storage.folder / key, partitioning=None).to_pylist()
    changed[0]["delta_e2"] += 1
    with duckdb_session(tmp_path) as session:
        session.register("changed", pa.Table.from_pylist(changed, schema_of(DELTAS.table)))
        written = write_sorted(session, "FROM changed", schema_of(DELTAS.table), DELTAS.identity, tmp_path / "changed")
    storage.put_file(key, tmp_path / "changed", storage.version(key))
    manifest = DELTAS.manifest_key(NOON)
    storage.put(manifest, Manifest.of(key, written).encode(), storage.version(manifest))
    finding = verifier.verify(DELTAS, NOON)
    assert (finding.verdict, finding.difference) == (
        FileVerdict.DIFFERENT,
        "the object and its manifest are not those that were written",
    )


def test_a_row_that_comes_between_reading_and_writing_leaves_its_hour_to_be_written(
    production, exporter, ledger, monkeypatch
):
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(clock=1)])
    exporter.survey(DELTAS)

    def a_row_comes_after(*arguments):
        written = write_sorted(*arguments)
        write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(clock=2)])
        exporter.survey(DELTAS)
        return written

    with monkeypatch.context() as patch:
        patch.setattr("app.lake.exporter.write_sorted", a_row_comes_after)
        assert exporter.export(DELTAS, NOON).rows == 1
    assert ledger.unfinished(DELTAS, 0)[0].is_to_be_written


class BrokenError(Exception):
    pass


@pytest.mark.parametrize("broken", ["version", "put_file", "put", "begin", "finish"])
def test_a_crash_anywhere_leaves_the_old_object_or_the_new_and_the_work_to_be_done(
    broken, production, exporter, verifier, ledger, storage, monkeypatch
):
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(clock=1)])
    export_all(exporter, ledger)
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(clock=2)])

    def break_down(*_):
        raise BrokenError

    with monkeypatch.context() as patch:
        patch.setattr(ledger if hasattr(ledger, broken) else storage, broken, break_down)
        with pytest.raises(BrokenError):
            export_all(exporter, ledger)
    assert clocks(storage) in ([1], [1, 2])
    assert verifier.verify(DELTAS, NOON).verdict is FileVerdict.OUTDATED
    assert ledger.unfinished(DELTAS, 0)[0].is_to_be_written
    export_all(exporter, ledger)
    assert verifier.verify(DELTAS, NOON).verdict is FileVerdict.SAME
    assert list(storage.folder.rglob(".unfinished*")) == []


def test_two_exporters_do_not_write_the_same_hour_at_once(production, exporter, ledger, storage):
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta()])
    exporter.survey(DELTAS)
    with ledger_of(production, storage) as other, other.claimed(DELTAS, NOON) as is_theirs:
        assert is_theirs
        assert exporter.export(DELTAS, NOON) is None
    assert exporter.export(DELTAS, NOON).rows == 1


def test_what_another_lake_s_exporter_wrote_meanwhile_is_not_overwritten(production, exporter, ledger, storage):
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta()])
    exporter.survey(DELTAS)
    put_file = storage.put_file

    def somebody_else_first(key, path, replaces):
        storage.put(key, b"theirs", replaces)
        put_file(key, path, replaces)

    storage.put_file = somebody_else_first
    with pytest.raises(ReplacedError):
        exporter.export(DELTAS, NOON)
    assert storage.read(DELTAS.object_key(NOON)) == b"theirs"


def test_a_manifest_that_somebody_else_wrote_meanwhile_is_not_overwritten(production, exporter, ledger, storage):
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta()])
    exporter.survey(DELTAS)
    put_file = storage.put_file

    def somebody_else_after_it(key, path, replaces):
        put_file(key, path, replaces)
        storage.put(DELTAS.manifest_key(NOON), b"theirs", None)

    storage.put_file = somebody_else_after_it
    with pytest.raises(ReplacedError):
        exporter.export(DELTAS, NOON)
    assert storage.read(DELTAS.manifest_key(NOON)) == b"theirs"


def test_a_row_that_is_withdrawn_while_its_hour_is_read_back_leaves_it_to_be_written(production, exporter, ledger):
    write(production, PRODUCTION_ORDERBOOK_DELTAS, [delta(clock=1), delta(clock=2)])
    export_all(exporter, ledger)
    written = ledger.written(DELTAS, NOON)
    with connected(production) as connection:
        execute(connection, "UPDATE exports SET through_ingest_id = 0, verified_at = NULL")
    assert not ledger.verified(DELTAS, NOON, written.through_ingest_id)
    assert ledger.unfinished(DELTAS, 0) == [(NOON, True)]


def test_an_hour_is_known_up_to_its_last_row_in_whatever_order_its_rows_are_found(ledger):
    ledger.note(DELTAS, ChangedHours(0, 20, [(NOON, 20)], has_more=False))
    ledger.note(DELTAS, ChangedHours(20, 30, [(NOON, 10)], has_more=False))
    assert ledger.begin(DELTAS, NOON) == 20


def test_a_survey_that_comes_second_changes_nothing(ledger):
    ledger.note(DELTAS, ChangedHours(0, 20, [(NOON, 20)], has_more=False))
    ledger.note(DELTAS, ChangedHours(0, 10, [(NOON - HOUR, 10)], has_more=False))
    assert ledger.surveyed_through(DELTAS) == 20
    assert ledger.hours(DELTAS, *EVER) == [NOON]


def test_hours_are_found_in_steps_too(production, ledger):
    write(
        production,
        PRODUCTION_ORDERBOOK_DELTAS,
        [delta(clock=number, at_us=rows.NOON_US + number * HOUR_US) for number in range(5)],
    )
    found = []
    with arrivals_session(production, "test") as session:
        for _ in range(3):
            changes = survey(session, PRODUCTION_ORDERBOOK_DELTAS, ledger.surveyed_through(DELTAS), rows_at_once=2)
            ledger.note(DELTAS, changes)
            found.append((len(changes.hours), changes.has_more))
    assert found == [(2, True), (2, True), (1, False)]
    assert len(ledger.hours(DELTAS, *EVER)) == 5
