"""A check of a lake by itself: of its objects against their manifests, and of each book against the one before."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import parquet

from app.lake.check import check
from app.lake.parquet import Manifest, write_in_order
from app.lake.storage import FolderStorage
from kalshi_data.layout import COVERAGE, DELTAS, IDENTITY, SNAPSHOTS, TRADES, hour_folder, manifest_key
from kalshi_data.schema import schema_of
from tests.cli_settings import invoke

HOUR = datetime(2026, 11, 21, 7, tzinfo=UTC)
PERIOD = HOUR, HOUR + timedelta(hours=2)
TIME = "--from", "2026-11-21T07:00Z", "--to", "2026-11-21T09:00Z"


def key_of(folder, hour=HOUR):
    return f"{folder}/{hour_folder(hour)}/part-0.parquet"


def put(storage, table, rows, folder=None, hour=HOUR):
    """Write an object and its manifest."""
    key = key_of(folder or f"processed/{table}", hour)
    path = storage.folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    written = write_in_order(
        pa.Table.from_pylist(rows, schema_of(table)).to_batches(), schema_of(table), IDENTITY[table], path
    )
    storage.put(manifest_key(key), Manifest.of(key, written).encode(), storage.version(manifest_key(key)))
    return key


def at(seconds):
    return HOUR + timedelta(seconds=seconds)


def snapshot(seconds, clock, yes, no=(), ticker="KXA"):
    times = {"snapshot_ts": at(seconds), "received_at": at(seconds)}
    levels = [[each[place] for each in side] for side in (yes, no) for place in (0, 1)]
    names = ("yes_prices_e6", "yes_sizes_e2", "no_prices_e6", "no_sizes_e2")
    return {
        **times,
        "clock": clock,
        "levels_digest": 0,
        "ticker": ticker,
        "source": "ws",
        **dict(zip(names, levels, strict=True)),
    }


def change(seconds, clock, price_e6, delta_e2, ticker="KXA"):
    facts = {"exchange_ts": at(seconds), "received_at": at(seconds), "clock": clock, "delta_e2": delta_e2}
    return {
        **facts,
        "price_e6": price_e6,
        "nth": 0,
        "yes_side": True,
        "after_gap": False,
        "ts_missing": False,
        "ticker": ticker,
    }


@pytest.fixture
def storage(tmp_path):
    return FolderStorage(tmp_path / "lake")


def verdicts(storage):
    return dict(check(storage, *PERIOD).books)


def test_a_book_follows_from_the_one_before_across_hours(storage):
    put(storage, SNAPSHOTS, [snapshot(3_500, 4, [(1, 100)], [(7, 70)])])
    put(
        storage,
        SNAPSHOTS,
        [snapshot(3_700, 7, [(2, 50)], [(7, 70)]), snapshot(3_701, 7, [(2, 50)], [(7, 70)])],
        hour=at(3_600),
    )
    put(storage, DELTAS, [change(3_499, 4, 1, 100), change(3_501, 5, 1, -100)])
    put(storage, DELTAS, [change(3_601, 7, 2, 50), change(3_702, 8, 2, 1)], hour=at(3_600))
    found = check(storage, *PERIOD)
    assert (found.books, found.wrong) == ({"equal": 2}, [])
    assert found.objects == 4


def test_a_change_that_is_missing_is_found(storage):
    put(storage, SNAPSHOTS, [snapshot(0, 4, [(1, 100)]), snapshot(9, 6, [(1, 100), (2, 50)])])
    put(storage, DELTAS, [change(1, 5, 1, 3), change(2, 6, 2, 50)])
    found = check(storage, *PERIOD)
    assert found.books == {"different": 1}
    assert found.wrong == [f"KXA: 1 levels of the book of {at(9).isoformat()} do not follow from {at(0).isoformat()}"]


def test_a_hole_explains_what_is_missing(storage):
    put(storage, SNAPSHOTS, [snapshot(0, 4, [(1, 100)]), snapshot(9, 6, [(1, 200)])])
    put(storage, DELTAS, [change(1, 5, 1, 3)])
    moments = {"hour_start": HOUR, "known_until": PERIOD[1], "since": HOUR, "until": PERIOD[1]}
    hole = {"holes_from": [at(2)], "holes_until": [at(3)], "repaired_from": [], "repaired_until": [], "repaired_by": []}
    row = {"ticker": "KXA", "channel": "orderbook_delta", "state": "hole", **moments, **hole}
    put(storage, COVERAGE, [row], COVERAGE)
    assert verdicts(storage) == {"in a hole": 1}


def test_after_a_restart_of_clocks_books_are_compared_again(storage):
    put(
        storage,
        SNAPSHOTS,
        [
            snapshot(0, 40, [(1, 100)]),
            snapshot(600, 2, [(1, 5)]),
            snapshot(700, 3, [(1, 6)]),
            snapshot(900, 41, [(1, 9)]),
        ],
    )
    put(storage, DELTAS, [change(1, 41, 1, 77), change(601, 3, 1, 1), change(710, 40, 1, 1), change(711, 41, 1, 2)])
    assert verdicts(storage) == {"incomparable": 1, "equal": 2}


def test_a_change_of_other_clocks_decides_nothing(storage):
    """Clocks began anew between two snapshots, and had passed the earlier one's when the later was taken."""
    put(storage, SNAPSHOTS, [snapshot(600, 4, [(1, 100)]), snapshot(900, 6, [(1, 100)])])
    put(storage, DELTAS, [change(1, 5, 1, 3)])
    assert verdicts(storage) == {"incomparable": 1}


def test_an_object_is_what_its_manifest_says(exported, tmp_path):
    lake = Path(shutil.copytree(exported["KALSHI_LAKE"], tmp_path / "copy"))
    settings = {"KALSHI_LAKE": str(lake)}
    done = invoke(settings, "lake", "check", *TIME)
    assert done.exit_code == 0, done.output
    trades = next((lake / "processed/trades").rglob("*.parquet"))
    manifest = lake / manifest_key(trades.relative_to(lake).as_posix())
    whole, told = trades.read_bytes(), manifest.read_bytes()
    for spoil, problem in (
        (lambda: trades.write_bytes(whole[:-1] + b"?"), "the bytes are not those of the manifest"),
        (trades.unlink, "there is a manifest, but no object"),
        (manifest.unlink, "there is no manifest"),
        (lambda: manifest.write_bytes(b"{"), "it cannot be read"),
        (
            lambda: manifest.write_bytes(told.replace(b'"first_ticker": "', b'"first_ticker": "A')),
            "the rows are not those",
        ),
    ):
        spoil()
        done = invoke(settings, "lake", "check", *TIME)
        assert done.exit_code == 1
        assert problem in str(done.exception)
        trades.write_bytes(whole)
        manifest.write_bytes(told)


@pytest.mark.parametrize("problem", ["rows are there twice, or out of order", "rows are not of its time"])
def test_a_row_that_is_there_twice_or_elsewhere_is_found(exported, tmp_path, problem):
    found = next(Path(exported["KALSHI_LAKE"], "processed", TRADES).rglob("*.parquet"))
    rows = parquet.read_table(found, partitioning=None)
    storage = FolderStorage(tmp_path / "lake")
    if "twice" in problem:
        rows = pa.concat_tables([rows, rows.slice(rows.num_rows - 1)])
    else:
        later = pc.add(rows["exchange_ts"], pa.scalar(timedelta(hours=1)))
        rows = rows.set_column(rows.schema.get_field_index("exchange_ts"), rows.schema.field("exchange_ts"), later)
    put(storage, TRADES, rows.to_pylist())
    assert problem in check(storage, *PERIOD).wrong[0]
