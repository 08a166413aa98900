"""Sealed days: a lake in which an object was changed, removed or added says which, and late rows are no alarm."""

from datetime import UTC, datetime, timedelta

import pytest

from app.lake.archive import Archive
from app.lake.chain import ChainMemory, check_chain
from app.lake.storage import FolderStorage, StorageError
from app.storage.tables import PRODUCTION_TRADES
from kalshi_data.chain import encode, head_of, link_key, next_link
from tests.gatherers import execute
from tests.lake.exporting import EVER, write
from tests.processes import run

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = NOON.replace(hour=0)
OBJECT = "processed/trades/date=2026-11-01/hour=12/part-0.parquet"
MANIFEST = "_manifest/processed/trades/date=2026-11-01/hour=12/part-0.json"


def trade(number, at=NOON):
    time_us = int(at.timestamp()) * 1_000_000 + number
    return (time_us, time_us, 150, 420_000, True, None, False, "KXA-1-T5", f"trade {number}")


def export(archive):
    """Do all that the exporter does until nothing is left."""
    datasets = archive.datasets().values()
    while any(
        [archive.step(dataset, settle_seconds=0) for dataset in datasets]
        + [archive.make_candles(), archive.write_knowledge(), archive.seal_days()]
    ):
        continue


@pytest.fixture
def storage(tmp_path):
    return FolderStorage(tmp_path / "lake")


@pytest.fixture
def archive(production, storage):
    write(production, PRODUCTION_TRADES, [trade(1), trade(2, NOON + timedelta(days=1))])
    archive = Archive(production, storage)
    export(archive)
    return archive


def checked(archive, storage, *, published=None, remembers=True):
    with archive.opened() as opened:
        memory = opened.chain.memory(published)
    return check_chain(storage, *EVER, memory if remembers else ChainMemory(published=published))


def test_finished_days_are_sealed_in_their_order(archive, storage, production):
    finding = checked(archive, storage)
    assert (finding.wrong, finding.days, finding.pending) == ([], 2, 0)
    assert list(finding.chain.days) == [DAY, DAY + timedelta(days=1)]
    assert MANIFEST in finding.chain.days[DAY].manifests
    with archive.opened() as opened:
        assert finding.chain.heads == tuple(opened.chain.memory().heads)
    assert not archive.seal_days()


def change(storage):
    (storage.folder / OBJECT).write_bytes(b"PAR1 of somebody else")


def change_with_its_manifest(storage):
    change(storage)
    path = storage.folder / MANIFEST
    path.write_bytes(path.read_bytes().replace(b'"rows": 1', b'"rows": 2'))


def remove(storage):
    (storage.folder / OBJECT).unlink()


def remove_manifest(storage):
    (storage.folder / MANIFEST).unlink()


def add(storage):
    storage.put(OBJECT.replace("part-0", "part-1"), b"PAR1", None)


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (change, [f"{OBJECT} was changed"]),
        (change_with_its_manifest, [f"{MANIFEST} was changed", f"{OBJECT} was changed"]),
        (remove, [f"{OBJECT} was removed"]),
        (remove_manifest, [f"{MANIFEST} was removed"]),
        (add, [f"{OBJECT.replace('part-0', 'part-1')} was added"]),
    ],
)
def test_what_was_done_to_an_object_is_named(archive, storage, tamper, said):
    tamper(storage)
    assert checked(archive, storage).wrong == said


def test_a_chain_that_was_cut_short_or_written_anew_is_noticed_by_who_knows_its_head(archive, storage):
    head = checked(archive, storage).chain.head
    first, last = (storage.folder / link_key(number) for number in (1, 2))
    found = checked(archive, storage).chain.days[DAY]
    last.unlink()
    assert checked(archive, storage).wrong == ["the chain ends with link 1; production knows 2"]
    assert checked(archive, storage, published=head, remembers=False).wrong == [f"no link has the hash {head}"]
    first.write_bytes(encode(next_link(1, "", DAY, dict(list(found.manifests.items())[1:]))))
    assert f"{link_key(1)} is not the link that production knows" in "\n".join(checked(archive, storage).wrong)


def test_late_rows_seal_the_day_again_and_are_no_difference_before(archive, storage, production):
    write(production, PRODUCTION_TRADES, [trade(3)])
    for dataset in archive.datasets().values():
        while archive.step(dataset, settle_seconds=0):
            continue
    finding = checked(archive, storage)
    assert (finding.wrong, finding.days, finding.pending) == ([], 1, 1)
    export(archive)
    finding = checked(archive, storage, published=finding.chain.head)
    assert (finding.wrong, finding.days, finding.pending) == ([], 2, 0)
    assert len(finding.chain.heads) == 3


def test_a_day_is_not_sealed_while_an_hour_of_it_is_not_verified(production, storage):
    write(production, PRODUCTION_TRADES, [trade(1), trade(2, NOON + timedelta(hours=1))])
    archive = Archive(production, storage)
    export(archive)
    execute(production, "UPDATE exports SET verified_at = NULL WHERE hour = %s AND table_name = 'trades'", (NOON,))
    execute(production, "DELETE FROM sealed_days")
    assert not archive.seal_days()


def test_a_link_that_was_written_before_a_crash_is_adopted(archive, storage, production):
    heads = checked(archive, storage).chain.heads
    execute(production, "DELETE FROM sealed_days WHERE number = 2")
    export(archive)
    finding = checked(archive, storage)
    assert (finding.wrong, finding.chain.heads) == ([], heads)


def test_a_link_of_somebody_else_is_not_continued(archive, storage, production):
    execute(production, "DELETE FROM sealed_days WHERE number = 2")
    (storage.folder / link_key(2)).write_bytes(encode(next_link(2, head_of(b"other"), DAY, {})))
    with pytest.raises(StorageError, match="does not follow the link before it"):
        archive.seal_days()


def test_the_command_prints_the_head_and_fails_if_an_object_was_changed(archive, storage, production):
    settings = {"KALSHI_LAKE": storage.folder, "KALSHI_PRODUCTION_DSN": production.reveal()}
    head = checked(archive, storage).chain.head
    done = run("-m", "app", "verify", "--chain", "--head", head, **settings)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"head of link 2: {head}")
    remove(storage)
    done = run("-m", "app", "verify", "--chain", KALSHI_LAKE=storage.folder)
    assert (done.returncode, done.stderr) == (1, f"{OBJECT} was removed\n")
