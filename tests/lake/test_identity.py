"""Production drops what the lake that it is bound to has verified, whatever was exported elsewhere."""

from datetime import UTC, datetime, timedelta

import pytest

from app.lake.archive import Archive
from app.lake.binding import KEY, UNKNOWN, bind, bound_lake, identity_of, register
from app.lake.layout import PROCESSED
from app.lake.storage import FolderStorage, StorageError
from app.postgres.connection import connected
from app.storage.confirmation import lake_has_it
from app.storage.retention import maintain
from app.storage.tables import PRODUCTION_TRADES
from tests.cli_settings import invoke
from tests.gatherers import execute
from tests.lake.exporting import write

NOON_US = 1_793_534_400_000_000
LATER = datetime(2026, 12, 1, tzinfo=UTC)
TRADES = PROCESSED["trades"]


def trade(number, at_us=NOON_US):
    return (at_us + number * 1_000, at_us, 100, 500_000, True, None, False, "KX", f"id-{number}")


@pytest.fixture
def filled(production):
    write(production, PRODUCTION_TRADES, [trade(1), trade(2)])
    return production


def archive_everything(archive, dataset=TRADES):
    while archive.step(dataset, settle_seconds=-(10**9)):
        continue


def dropped(production):
    """How many chunks go when there is no room for any."""
    with connected(production) as connection:
        return maintain(connection, lake_has_it, 0, LATER).dropped


def objects(storage):
    return [key for key in storage.keys("processed") if key.endswith(".parquet")]


def test_what_another_shell_exported_elsewhere_lets_production_drop_nothing(filled, tmp_path):
    elsewhere = {"KALSHI_PRODUCTION_DSN": filled.reveal(), "KALSHI_DATA_DIR": str(tmp_path / "home")}
    assert invoke(elsewhere, "export").exit_code == 0
    assert "same in the object" in invoke(elsewhere, "verify").output
    assert dropped(filled) == 0
    storage = FolderStorage(tmp_path / "the-lake")
    archive_everything(Archive(filled, storage))
    assert len(objects(storage)) == 1
    assert dropped(filled) == 1


def test_another_lake_gets_what_the_database_still_has_and_lets_nothing_be_dropped(filled, tmp_path):
    first, second = (FolderStorage(tmp_path / name) for name in ("first", "second"))
    archive_everything(Archive(filled, first))
    write(filled, PRODUCTION_TRADES, [trade(3)])
    other = Archive(filled, second)
    archive_everything(other)
    assert len(objects(second)) == 1
    assert dropped(filled) == 0
    assert f"bound to the lake at {first.location}" in other.why_nothing_is_dropped()
    done = invoke({"KALSHI_PRODUCTION_DSN": filled.reveal(), "KALSHI_LAKE": second.location}, "lake", "bind")
    assert first.location in done.output
    assert other.why_nothing_is_dropped() is None
    assert dropped(filled) == 1


def test_a_lake_that_was_emptied_under_its_exporter_is_another_one(filled, tmp_path):
    storage = FolderStorage(tmp_path / "lake")
    archive = Archive(filled, storage)
    archive_everything(archive)
    for path in [path for path in storage.folder.rglob("*") if path.is_file()]:
        path.unlink()
    archive.step(TRADES, settle_seconds=-(10**9))
    assert len(objects(storage)) == 1
    assert dropped(filled) == 0
    archive_everything(archive)
    assert archive.why_nothing_is_dropped() is None
    assert dropped(filled) == 1


def test_an_exporter_whose_lake_nobody_named_binds_production_to_nothing(filled, tmp_path):
    archive = Archive(filled, FolderStorage(tmp_path / "lake"), binds=False)
    archive_everything(archive)
    assert "bound to no lake" in archive.why_nothing_is_dropped()
    assert dropped(filled) == 0
    with connected(filled) as connection:
        assert bound_lake(connection) is None


def test_two_that_write_a_lake_s_first_object_at_once_give_it_one_identity(tmp_path):
    storage = FolderStorage(tmp_path / "lake")
    storage.read = lambda key, read=storage.read: (storage.__dict__.pop("read"), read(key), identity_of(storage))[1]
    assert identity_of(storage) == identity_of(FolderStorage(tmp_path / "lake"))


def test_an_identity_that_cannot_be_read_is_not_replaced(tmp_path):
    storage = FolderStorage(tmp_path / "lake")
    storage.put(KEY, b"{", None)
    with pytest.raises(StorageError, match="cannot be read"):
        identity_of(storage)
    assert storage.read(KEY) == b"{"


def before_lakes_were_told_apart(production):
    execute(production, "UPDATE exports SET lake_id = %s", (str(UNKNOWN),))
    execute(production, "UPDATE export_cursors SET lake_id = %s", (str(UNKNOWN),))
    execute(production, "DELETE FROM lakes")


def test_an_old_ledger_is_adopted_by_the_lake_that_has_its_manifests(filled, tmp_path):
    storage, stranger = FolderStorage(tmp_path / "lake"), FolderStorage(tmp_path / "stranger")
    archive_everything(Archive(filled, storage))
    written = (storage.folder / objects(storage)[0]).stat().st_mtime_ns
    before_lakes_were_told_apart(filled)
    with connected(filled) as connection:
        register(connection, stranger, identity_of(stranger).lake_id)
    assert execute(filled, "SELECT lake_id FROM exports") == [(str(UNKNOWN),)]
    archive = Archive(filled, storage)
    with archive.opened() as opened:
        last = execute(filled, "SELECT max(ingest_id) FROM trades")
        assert last == [(opened.ledger.surveyed_through(TRADES),)]
        (unfinished,) = opened.ledger.unfinished(TRADES, -(10**9))
        assert not unfinished.is_to_be_written
    assert dropped(filled) == 0
    archive_everything(archive)
    assert (storage.folder / objects(storage)[0]).stat().st_mtime_ns == written
    assert dropped(filled) == 1


def test_hours_that_the_adopting_lake_lacks_are_written_to_it(filled, tmp_path):
    write(filled, PRODUCTION_TRADES, [trade(3, NOON_US + 3_600_000_000)])
    storage = FolderStorage(tmp_path / "lake")
    archive_everything(Archive(filled, storage))
    lost = datetime.fromtimestamp(NOON_US / 1e6, UTC) + timedelta(hours=1)
    for key in (TRADES.object_key(lost), TRADES.manifest_key(lost)):
        (storage.folder / key).unlink()
    before_lakes_were_told_apart(filled)
    archive = Archive(filled, storage)
    assert dropped(filled) == 0
    archive_everything(archive)
    assert len(objects(storage)) == 2
    assert dropped(filled) == 1


def test_production_is_bound_to_one_lake_at_a_time(production, tmp_path):
    lakes = [FolderStorage(tmp_path / name) for name in ("a", "b")]
    with connected(production) as connection:
        for storage in lakes:
            register(connection, storage, identity_of(storage).lake_id)
            bind(connection, identity_of(storage).lake_id)
            assert bound_lake(connection).location == storage.location
