"""A gatherer's rows in raw/: by its own ledger, and what its database waits for before it drops them."""

import threading
from datetime import UTC, datetime, timedelta
from operator import attrgetter

import pytest
from prometheus_client import REGISTRY
from pyarrow import parquet

from app.lake.archive import RawArchive
from app.lake.binding import UNKNOWN, bound_lake, identity_of
from app.lake.exporter import hour_of_rows
from app.lake.layout import raw_dataset
from app.lake.storage import FolderStorage, StorageError
from app.lake.verifier import FileVerdict
from app.metrics.lake import BEHIND_SECONDS
from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.runtime.threads import inline
from app.storage.confirmation import LAST_RESORTS, all_chunks, archive_losses, is_merged_and_archived, why_not_confirmed
from app.storage.retention import maintain
from app.storage.tables import ORDERBOOK_DELTAS
from tests.cli_settings import invoke
from tests.gatherers import execute
from tests.lake.exporting import write
from tests.storage import rows
from workers.exporter import PROOF_SECONDS, Exporter

NOON = datetime.fromtimestamp(rows.NOON_US / 1e6, UTC)
HOUR = timedelta(hours=1)
HOUR_US = 3_600_000_000
AT_ONCE = -(10**9)
PLENTY_BYTES = 10**12
NAME = "gatherer-1a"


@pytest.fixture
def archive(timeseries, storage):
    return RawArchive(timeseries, storage, NAME)


@pytest.fixture
def deltas(archive):
    return archive.datasets()["orderbook_deltas"]


def delta(hour, clock=None):
    return rows.delta(at_us=rows.NOON_US + hour * HOUR_US + (clock or 0), clock=hour if clock is None else clock)


@pytest.fixture
def filled(timeseries):
    """Three hours of deltas, from noon on, that production has confirmed."""
    write(timeseries, ORDERBOOK_DELTAS, [delta(hour) for hour in (0, 1, 2)])
    confirm(timeseries)
    return timeseries


def confirm(timeseries):
    execute(
        timeseries,
        """INSERT INTO confirmations (production, table_name, ingest_id) VALUES ('the one', 'orderbook_deltas', 1000000)
        ON CONFLICT (production, table_name) DO NOTHING""",
    )


def archive_everything(archive):
    for dataset in archive.datasets().values():
        while archive.step(dataset, AT_ONCE):
            continue


def exporter_of(archive, clock=lambda: 0.0):
    return Exporter(archive, AT_ONCE, inline, threading.Event(), clock=clock)


def round_of(timeseries, now, max_bytes=PLENTY_BYTES):
    with connected(timeseries) as connection:
        return maintain(connection, is_merged_and_archived, max_bytes, now, LAST_RESORTS[DatabaseKind.TIMESERIES])


def kept(timeseries):
    return [clock for (clock,) in execute(timeseries, "SELECT clock FROM orderbook_deltas ORDER BY clock")]


def clocks(storage, dataset, hour):
    key = dataset.object_key(NOON + hour * HOUR)
    return parquet.read_table(storage.folder / key, partitioning=None)["clock"].to_pylist()


LATER = NOON + timedelta(days=8)


def test_each_hour_lies_below_the_gatherer_s_name_with_its_lineage(filled, archive, deltas, storage):
    archive_everything(archive)
    assert len(list(storage.keys(f"raw/orderbook_deltas/gatherer={NAME}"))) == 3
    assert len(list(storage.keys(f"_manifest/raw/orderbook_deltas/gatherer={NAME}"))) == 3
    found = parquet.read_table(storage.folder / deltas.object_key(NOON), partitioning=None).to_pylist()
    assert [(row["conn"], row["sid"], row["seq"]) for row in found] == [(1, 2, 3)]


def test_its_ledger_is_in_the_gatherer_s_own_database(filled, archive, storage):
    archive_everything(archive)
    assert execute(filled, "SELECT count(verified_at), sum(row_count) FROM exports") == [(3, 3)]
    sizes = sum(file.stat().st_size for file in (storage.folder / "raw").rglob("*.parquet"))
    assert execute(filled, "SELECT sum(size_bytes) FROM exports") == [(sizes,)]
    with connected(filled) as connection:
        assert bound_lake(connection).lake_id == identity_of(storage).lake_id


def test_nothing_is_written_twice_and_a_late_row_has_its_hour_written_again(filled, archive, deltas, storage):
    archive_everything(archive)
    written = {key: (storage.folder / key).stat().st_mtime_ns for key in storage.keys("raw")}
    archive_everything(RawArchive(filled, storage, NAME))
    assert {key: (storage.folder / key).stat().st_mtime_ns for key in storage.keys("raw")} == written
    write(filled, ORDERBOOK_DELTAS, [delta(1, clock=9)])
    archive_everything(archive)
    changed = {key for key in written if (storage.folder / key).stat().st_mtime_ns != written[key]}
    assert changed == {deltas.object_key(NOON + HOUR)}
    assert clocks(storage, deltas, 1) == [1, 9]


def test_a_database_that_is_archived_drops_for_its_age_only_what_the_lake_has(filled, archive, deltas):
    archive.update_backlog(deltas, 0)
    assert (round_of(filled, LATER).dropped, round_of(filled, LATER).unconfirmed) == (0, 3)
    with connected(filled) as connection:
        assert "lake status --raw" in why_not_confirmed(connection, DatabaseKind.TIMESERIES)
    archive_everything(archive)
    assert round_of(filled, LATER).dropped == 3


def test_a_row_that_nobody_has_surveyed_keeps_its_chunk(filled, archive):
    archive_everything(archive)
    write(filled, ORDERBOOK_DELTAS, [delta(1, clock=9)])
    assert round_of(filled, LATER).dropped == 2
    archive_everything(archive)
    assert round_of(filled, LATER).dropped == 1


def test_what_the_lake_has_and_no_production_does_stays(timeseries, archive):
    write(timeseries, ORDERBOOK_DELTAS, [delta(0)])
    archive_everything(archive)
    done = round_of(timeseries, LATER, max_bytes=0)
    assert (done.dropped, done.unconfirmed, done.sacrificed) == (0, 1, 0)


def test_a_gatherer_that_is_archived_nowhere_waits_for_no_lake(filled):
    assert round_of(filled, LATER).dropped == 3


class NobodyThereStorage(FolderStorage):
    """A lake that does not answer, as S3 in an outage."""

    def read(self, key):
        raise StorageError("S3 does not answer.", key)


def test_a_lake_that_was_never_reached_is_waited_for_all_the_same(filled, tmp_path):
    away = exporter_of(RawArchive(filled, NobodyThereStorage(tmp_path / "lake"), NAME))
    assert not away.step()
    assert "S3 does not answer" in away.why_not_ready()
    with connected(filled) as connection:
        assert bound_lake(connection).lake_id == UNKNOWN
    assert round_of(filled, LATER).dropped == 0
    reached = RawArchive(filled, FolderStorage(tmp_path / "lake"), NAME)
    archive_everything(reached)
    assert execute(filled, "SELECT count(*) FROM lakes") == [(1,)]
    assert round_of(filled, LATER).dropped == 3


def test_how_far_behind_it_is_is_told_while_the_lake_is_away(filled, tmp_path):
    BEHIND_SECONDS.labels("orderbook_deltas").set(0)
    exporter_of(RawArchive(filled, NobodyThereStorage(tmp_path / "lake"), NAME)).step()
    told = REGISTRY.get_sample_value("kalshi_lake_behind_seconds", {"table": "orderbook_deltas"})
    assert told > timedelta(days=1).total_seconds()


def test_over_the_budget_what_the_lake_has_goes_first(filled, archive, deltas):
    archive.update_backlog(deltas, 0)
    with archive.opened() as opened:
        opened.survey(deltas)
        for hour in (1, 2):
            opened.export(deltas, NOON + hour * HOUR)
            opened.verify(deltas, NOON + hour * HOUR)
    now = NOON + 3 * HOUR
    whole = round_of(filled, now)
    done = round_of(filled, now, max_bytes=whole.size_bytes - 1)
    assert (done.dropped, done.sacrificed) == (1, 0)
    assert kept(filled) == [0, 2]


def test_a_full_disk_wins_over_a_lake_that_cannot_be_reached_and_the_loss_is_told(filled, archive, deltas):
    archive.update_backlog(deltas, 0)
    now = NOON + 3 * HOUR
    whole = round_of(filled, now)
    done = round_of(filled, now, max_bytes=whole.size_bytes - 1)
    assert (done.dropped, done.unconfirmed, done.sacrificed) == (1, 2, 1)
    assert 0 < done.sacrificed_bytes < whole.size_bytes
    with connected(filled) as connection:
        assert archive_losses(connection) == [("orderbook_deltas", NOON, NOON + HOUR)]
    assert kept(filled) == [1, 2]


def test_no_more_is_lost_than_the_disk_lacks(filled, archive, deltas):
    archive.update_backlog(deltas, 0)
    now = NOON + 3 * HOUR
    whole = round_of(filled, now)
    with connected(filled) as connection:
        oldest = min(
            (chunk for chunk in all_chunks(connection) if chunk.table == "orderbook_deltas"),
            key=attrgetter("range_end"),
        )
    assert round_of(filled, now, max_bytes=whole.size_bytes - oldest.size_bytes).sacrificed == 1
    assert kept(filled) == [1, 2]


def test_an_hour_that_went_before_it_was_written_gets_no_empty_object(filled, archive, deltas, storage):
    archive.update_backlog(deltas, 0)
    round_of(filled, NOON + HOUR, max_bytes=0)
    archive_everything(archive)
    assert deltas.object_key(NOON) not in list(storage.keys("raw"))
    assert clocks(storage, deltas, 1) == [1]


def test_a_late_row_of_such_an_hour_is_written(filled, archive, deltas, storage):
    archive.update_backlog(deltas, 0)
    round_of(filled, NOON + HOUR, max_bytes=0)
    write(filled, ORDERBOOK_DELTAS, [delta(0, clock=9)])
    archive_everything(archive)
    assert clocks(storage, deltas, 0) == [9]
    assert execute(filled, "SELECT count(*) FROM exports WHERE verified_at IS NULL") == [(0,)]


def test_what_was_written_before_stays_when_the_rest_of_its_hour_goes(filled, archive, deltas, storage):
    archive_everything(archive)
    write(filled, ORDERBOOK_DELTAS, [delta(0, clock=9)])
    archive.update_backlog(deltas, 0)
    assert round_of(filled, NOON + HOUR, max_bytes=0).sacrificed == 1
    archive_everything(archive)
    assert clocks(storage, deltas, 0) == [0]
    with archive.opened() as opened:
        assert opened.verify(deltas, NOON).verdict is FileVerdict.ARCHIVED


@pytest.mark.parametrize("is_rewritten", [False, True], ids=["never written", "written before"])
def test_a_chunk_that_goes_while_its_hour_is_read_leaves_the_lake_as_it_was(
    is_rewritten, filled, archive, deltas, storage, monkeypatch
):
    archive.update_backlog(deltas, 0)
    if is_rewritten:
        archive_everything(archive)
        write(filled, ORDERBOOK_DELTAS, [delta(0, clock=9)])
    before = raw_of(storage)

    def rows_after_the_chunk_went(*arguments):
        assert round_of(filled, NOON + HOUR, max_bytes=0).sacrificed == 1
        return hour_of_rows(*arguments)

    with archive.opened() as opened, monkeypatch.context() as patch:
        opened.survey(deltas)
        patch.setattr("app.lake.exporter.hour_of_rows", rows_after_the_chunk_went)
        assert not opened.export(deltas, NOON)
    assert raw_of(storage) == before


def raw_of(storage):
    return {key: storage.read(key) for folder in ("raw", "_manifest") for key in storage.keys(folder)}


def test_an_object_that_the_lake_lost_is_not_replaced_by_one_without_its_rows(filled, archive, deltas, storage):
    archive_everything(archive)
    round_of(filled, LATER)
    (storage.folder / deltas.object_key(NOON)).unlink()
    write(filled, ORDERBOOK_DELTAS, [delta(0, clock=9)])
    archive_everything(archive)
    assert storage.read(deltas.object_key(NOON)) is None
    ((failure,),) = execute(filled, "SELECT failure FROM exports WHERE failures > 0")
    assert "has lost" in failure
    assert "restore it from an older version" in failure


def test_a_lake_that_cannot_be_written_is_no_ready_archiver_s(filled, storage):
    now = [0.0]
    exporter = exporter_of(RawArchive(filled, storage, NAME), clock=lambda: now[0])
    while exporter.step():
        continue
    assert exporter.why_not_ready() is None

    def refuse(folder=""):
        raise StorageError("AccessDenied", folder)

    storage.prove_writable = refuse
    exporter.step()
    assert exporter.why_not_ready() is None
    now[0] += PROOF_SECONDS
    exporter.step()
    assert exporter.why_not_ready() == f"AccessDenied\nraw/orderbook_deltas/gatherer={NAME}"


def test_a_database_that_waits_for_another_lake_is_no_ready_archiver_s(filled, archive, tmp_path):
    archive_everything(archive)
    other = RawArchive(filled, FolderStorage(tmp_path / "other"), NAME)
    exporter = exporter_of(other)
    while exporter.step():
        continue
    assert "lake bind --raw" in exporter.why_not_ready()
    settings = {"KALSHI_TS_DSN": filled.reveal(), "KALSHI_LAKE": str(tmp_path / "other")}
    assert invoke(settings, "lake", "bind", "--raw").exit_code == 0
    exporter.step()
    assert exporter.why_not_ready() is None


def test_a_database_made_anew_lies_beside_the_one_before_it(filled, archive, deltas, storage):
    archive_everything(archive)
    other = raw_dataset(ORDERBOOK_DELTAS, NAME, 7)
    assert other.object_key(NOON) != deltas.object_key(NOON)
    assert other.object_key(NOON).rpartition("/")[0] == deltas.object_key(NOON).rpartition("/")[0]


def commands(timeseries, storage):
    settings = {"KALSHI_TS_DSN": timeseries.reveal(), "KALSHI_LAKE": storage.location, "KALSHI_GATHERER": NAME}
    return lambda *arguments: invoke(settings, *arguments)


def test_an_operator_sees_how_far_it_is_and_gives_it_up(filled, archive, deltas, storage):
    command = commands(filled, storage)
    archive.update_backlog(deltas, 0)
    assert "not reached yet" in command("lake", "status", "--raw").output
    round_of(filled, NOON + HOUR, max_bytes=0)
    archive_everything(archive)
    told = command("lake", "status", "--raw").output
    assert "bound, 2 hours verified, 0 unfinished" in told
    assert "orderbook_deltas from 2026-11-01T12 to 2026-11-01T13: not in raw/" in told
    write(filled, ORDERBOOK_DELTAS, [delta(1, clock=9)])
    round_of(filled, LATER)
    assert kept(filled) == [1, 9]
    assert command("lake", "unbind").exit_code == 0
    round_of(filled, LATER)
    assert kept(filled) == []
    assert command("lake", "unbind").exit_code == 1


def test_hours_are_written_and_verified_by_hand_with_the_gatherer_s_database_alone(filled, storage):
    command = commands(filled, storage)
    assert "wrote 3 hours" in command("export", "--raw").output
    verified = command("verify", "--raw")
    assert (verified.exit_code, "3 hours" in verified.output) == (0, True), verified.output
    with connected(filled) as connection:
        assert bound_lake(connection) is None
