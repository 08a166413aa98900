import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.storage.binary_copy import UnfitValueError, copy_bytes
from app.storage.spool.losses import SpoolFolder
from app.storage.spool.spool import RECORD_ROWS, Spool, SpoolError
from app.storage.tables import (
    GATHERER_TABLES,
    JOURNAL_TABLES,
    METADATA_TABLES,
    ORDERBOOK_DELTAS,
    QUARANTINE,
    TICKERS,
    ColumnType,
    TableColumn,
)
from tests.storage import rows
from tests.storage.spool.any_rows import rows_of

ALL_TABLES = (*GATHERER_TABLES, *JOURNAL_TABLES, *METADATA_TABLES, QUARANTINE)
FEW_EXAMPLES = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def deltas(count, first_clock=0):
    return [rows.delta(clock=first_clock + number) for number in range(count)]


def everything(spool, at_once=1):
    found = []
    while batch := spool.first(at_once):
        found += batch
        spool.remove_first()
    return found


@pytest.fixture
def open_spool(tmp_path):
    opened = []

    def opening(table=ORDERBOOK_DELTAS, folder=None, segment_bytes=1_000_000):
        opened.append(Spool(folder or tmp_path / "spool", table, lambda _added_bytes: None, segment_bytes))
        return opened[-1]

    yield opening
    for spool in opened:
        spool.close()


@pytest.mark.parametrize("table", ALL_TABLES, ids=lambda table: table.name)
@FEW_EXAMPLES
@given(data=st.data())
def test_any_rows_come_back_as_they_were_and_in_order(open_spool, tmp_path_factory, table, data):
    batches = data.draw(st.lists(st.lists(rows_of(table), min_size=1, max_size=4), min_size=1, max_size=4))
    folder = tmp_path_factory.mktemp("spool")
    spool = open_spool(table, folder, segment_bytes=data.draw(st.sampled_from([1, 300, 1_000_000])))
    for batch in batches:
        spool.append(batch)
    spool.close()
    reopened = open_spool(table, folder)
    assert everything(reopened, at_once=data.draw(st.integers(1, 10))) == [row for batch in batches for row in batch]
    assert reopened.is_empty
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "value",
    [2**70, "\ud800", object(), {1, 2}, float("nan")],
    ids=["too_large", "half_a_character", "an_object", "a_set", "not_a_number"],
)
def test_a_value_that_cannot_be_kept_holds_up_nothing_and_fits_no_column(open_spool, value):
    spool = open_spool()
    bad = (*rows.delta()[:4], value, *rows.delta()[5:])
    spool.append([rows.delta(clock=1), bad, rows.delta(clock=2)])
    first, found, last = everything(spool)
    assert (first, last) == (rows.delta(clock=1), rows.delta(clock=2))
    for position, column in enumerate(ORDERBOOK_DELTAS.columns):
        if column.type is not ColumnType.BIGINT or value != 2**70:
            moved = list(rows.delta())
            moved[position] = found[4]
            with pytest.raises(UnfitValueError):
                copy_bytes(ORDERBOOK_DELTAS, [tuple(moved)])


def test_what_is_appended_while_the_oldest_is_read_comes_after_it(open_spool):
    spool = open_spool(segment_bytes=500)
    spool.append(deltas(10))
    assert spool.first(1_000) == deltas(10)
    spool.append(deltas(10, 10))
    spool.remove_first()
    assert everything(spool) == deltas(10, 10)


def test_rows_stay_until_they_are_removed(open_spool):
    spool = open_spool()
    spool.append(deltas(5))
    spool.append(deltas(5, 5))
    assert spool.first(1) == spool.first(1) == deltas(5)
    spool.remove_first()
    assert spool.first(1) == deltas(5, 5)


def test_small_appends_are_read_together_and_large_ones_in_parts(open_spool):
    spool = open_spool()
    for clock in range(10):
        spool.append(deltas(1, clock))
    assert spool.first(8) == deltas(8)
    spool.remove_first()
    assert spool.first(8) == deltas(2, 8)
    spool.remove_first()
    spool.append(deltas(2 * RECORD_ROWS + 1))
    assert len(spool.first(1)) == RECORD_ROWS
    assert everything(spool) == deltas(2 * RECORD_ROWS + 1)


def test_files_that_were_read_are_gone(open_spool, tmp_path):
    spool = open_spool(segment_bytes=300)
    for clock in range(20):
        spool.append(deltas(1, clock))
    files = len(list((tmp_path / "spool").iterdir()))
    assert files > 3
    size_bytes = spool.size_bytes
    for _ in range(10):
        spool.first(1)
        spool.remove_first()
    assert len(list((tmp_path / "spool").iterdir())) <= files / 2 + 1
    assert spool.size_bytes < size_bytes


def test_a_process_that_ends_between_reading_and_removing_reads_again(open_spool):
    spool = open_spool()
    spool.append(deltas(5))
    spool.append(deltas(5, 5))
    spool.first(1)
    spool.remove_first()
    spool.first(1)
    spool.close()
    again = everything(open_spool())
    assert again == deltas(10)


def test_rows_of_an_older_layout_find_their_columns(open_spool, tmp_path):
    older = TICKERS._replace(columns=(TableColumn("gone", ColumnType.TEXT), *TICKERS.columns[::-1][1:]))
    spool = open_spool(older)
    row = tuple(range(len(older.columns)))
    spool.append([row, row[1:]])
    spool.close()
    found, odd = everything(open_spool(TICKERS))
    values = dict(zip(older.column_names, row, strict=True))
    assert found == tuple(values.get(name) for name in TICKERS.column_names)
    with pytest.raises(UnfitValueError):
        copy_bytes(TICKERS, [odd])


def test_a_full_spool_refuses_rows_and_says_what_to_do(tmp_path):
    folder = SpoolFolder(tmp_path / "spool", max_bytes=1_000)
    spool, other = folder.spool_of(ORDERBOOK_DELTAS), folder.spool_of(TICKERS)
    spool.append(deltas(8))
    with pytest.raises(SpoolError, match="KALSHI_SPOOL_MAX_BYTES"):
        spool.append(deltas(20, 8))
    with pytest.raises(SpoolError, match="full"):
        other.append([(rows.NOON_US,) * 15] * 10)
    assert folder.size_bytes <= 1_000
    assert everything(spool) == deltas(8)
    spool.append(deltas(8))
    folder.close()


def test_one_process_at_a_time_uses_a_folder(tmp_path):
    folder = SpoolFolder(tmp_path / "spool", max_bytes=1_000)
    with pytest.raises(Exception, match=f"Process {os.getpid()} holds its lock"):
        SpoolFolder(tmp_path / "spool", max_bytes=1_000)
    folder.close()
    SpoolFolder(tmp_path / "spool", max_bytes=1_000).close()
