"""What is known of lost rows, until the journal says it."""

import pytest

from app.runtime.clock import now_us
from app.storage.spool.losses import DAMAGED, MARGIN_US, QUARANTINED, Loss, Losses, losses_of
from app.storage.spool.spool import SpoolError
from app.storage.tables import GAPS, MARKETS, ORDERBOOK_DELTAS, ORDERBOOK_SNAPSHOTS, QUARANTINE, SUBSCRIPTIONS, TRADES
from tests.storage import rows

LOSS = Loss("trades", DAMAGED, 1_000, 2_000)


@pytest.fixture
def losses(tmp_path):
    return Losses(tmp_path / "losses")


def changed(row, table, **values):
    return tuple(values.get(name, value) for name, value in zip(table.column_names, row, strict=True))


def test_losses_outlast_the_process_until_they_are_removed(losses, tmp_path):
    other = Loss("tickers", QUARANTINED, None, 3_000, 1, 7)
    losses.add([LOSS])
    losses.add([other, LOSS])
    again = Losses(tmp_path / "losses")
    found = again.read()
    assert sorted(found.values(), key=len) == [[LOSS], [other, LOSS]]
    again.add([other])
    again.remove(found)
    assert list(again.read().values()) == [[other]]


def test_the_same_loss_twice_is_one(losses):
    losses.add([LOSS])
    losses.add([LOSS])
    losses.add([])
    assert len(losses) == 1


def test_files_that_a_killed_process_did_not_finish_are_cleaned_away(losses, tmp_path):
    (tmp_path / "losses" / "x.1234.unfinished").write_bytes(b"[")
    assert Losses(tmp_path / "losses").read() == {}
    assert list((tmp_path / "losses").iterdir()) == []


def test_of_a_loss_that_cannot_be_read_anything_is_believed(losses, tmp_path):
    losses.add([LOSS])
    (file,) = (tmp_path / "losses").iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    before_us = now_us()
    ((found,),) = losses.read().values()
    assert (found.table, found.since_us, found.conn) == ("", None, None)
    assert found.until_us >= before_us


def test_a_disk_that_takes_no_loss_is_an_error_and_no_silence(tmp_path):
    losses = Losses(tmp_path / "losses")
    (tmp_path / "losses").rmdir()
    with pytest.raises(SpoolError):
        losses.add([LOSS])


def test_refused_rows_are_lost_by_connection_at_the_time_they_happened():
    first = changed(rows.delta(lineage=(7, 1, 1)), ORDERBOOK_DELTAS, ticker="a\0")
    later = changed(rows.delta(rows.NOON_US + 5_000_000, lineage=(7, 1, 2)), ORDERBOOK_DELTAS, price_e6=-1)
    elsewhere = changed(rows.delta(lineage=(9, 1, 2)), ORDERBOOK_DELTAS, price_e6=-1)
    noon_us, received_us = rows.NOON_US, rows.NOON_US + 20_000
    table = ORDERBOOK_DELTAS.name
    assert losses_of(ORDERBOOK_DELTAS, [first, elsewhere, later]) == [
        Loss(table, QUARANTINED, noon_us - MARGIN_US, received_us + 5_000_000 + MARGIN_US, 7, 2),
        Loss(table, QUARANTINED, noon_us - MARGIN_US, received_us + MARGIN_US, 9, 1),
    ]


def test_a_refused_row_that_came_before_it_happened_is_lost_from_the_one_time_to_the_other():
    """This host's clock is behind the exchange's."""
    received_us = rows.NOON_US + 20_000
    late = changed(rows.delta(), ORDERBOOK_DELTAS, exchange_ts=received_us + 30_000_000)
    (loss,) = losses_of(ORDERBOOK_DELTAS, [late])
    assert (loss.since_us, loss.until_us) == (received_us - MARGIN_US, received_us + 30_000_000 + MARGIN_US)


def test_refused_rows_of_a_connection_are_lost_from_the_first_to_the_last_in_whatever_order_they_are_refused():
    times_us = [rows.NOON_US + seconds * 1_000_000 for seconds in (3, 9, 0, 5)]
    (loss,) = losses_of(ORDERBOOK_DELTAS, [rows.delta(at_us) for at_us in times_us])
    assert (loss.since_us, loss.until_us) == (min(times_us) - MARGIN_US, max(times_us) + 20_000 + MARGIN_US)


@pytest.mark.parametrize(
    ("values", "conn", "since_us"),
    [
        ({"conn": None}, None, rows.NOON_US - MARGIN_US),
        ({"conn": 2**40}, None, rows.NOON_US - MARGIN_US),
        ({"received_at": "noon"}, 1, None),
        ({"received_at": 2**62}, 1, None),
        ({"exchange_ts": 2**62}, 1, rows.NOON_US + 20_000 - MARGIN_US),
        ({"exchange_ts": 0}, 1, rows.NOON_US + 20_000 - MARGIN_US),
        ({"exchange_ts": None}, 1, rows.NOON_US + 20_000 - MARGIN_US),
    ],
    ids=str,
)
def test_what_a_refused_row_does_not_say_is_taken_for_the_worst(values, conn, since_us):
    (loss,) = losses_of(ORDERBOOK_DELTAS, [changed(rows.delta(), ORDERBOOK_DELTAS, **values)])
    assert (loss.conn, loss.since_us) == (conn, since_us)


def test_a_row_that_is_none_may_have_been_any():
    before_us = now_us()
    (loss,) = losses_of(TRADES, [(["a list"],)])
    assert (loss.conn, loss.since_us) == (None, None)
    assert loss.until_us >= before_us


def test_one_row_without_a_time_leaves_none_to_its_connection():
    dateless = changed(rows.delta(), ORDERBOOK_DELTAS, received_at=None)
    (loss,) = losses_of(ORDERBOOK_DELTAS, [rows.delta(), dateless, rows.delta()])
    assert (loss.since_us, loss.rows) == (None, 3)


def test_nobody_counts_on_what_no_socket_brought():
    polled = rows.snapshot(source="rest", lineage=(-1, -1, -1))
    assert losses_of(ORDERBOOK_SNAPSHOTS, [polled]) == []
    for table in (SUBSCRIPTIONS, QUARANTINE, MARKETS):
        assert losses_of(table, [(1, 2, 3)]) == []
    assert [loss.table for loss in losses_of(GAPS, [(1, 2, 3)])] == ["gaps"]
