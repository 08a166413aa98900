"""How processes divide the work among themselves, and that no division loses anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.merge.cursors import CursorMovedError, merged_through
from app.merge.merger import Merger
from app.merge.ownership import Members
from app.merge.position import Shard, fair_share
from app.postgres.connection import connected, value_of
from app.storage.tables import PRODUCTION_ORDERBOOK_DELTAS
from tests.gatherers import execute
from tests.merge.recordings import rule_of
from tests.processes import wait_until
from tests.storage import rows
from tests.storage.reading import rows_of

TICKERS = [f"KXSHARD-{number}" for number in range(30)]


def deltas(*clocks):
    return [rows.delta(clock=clock, ticker=ticker) for clock in clocks for ticker in TICKERS]


def merged(production):
    with connected(production) as connection:
        return sorted((row[2], row[9]) for row in rows_of(connection, PRODUCTION_ORDERBOOK_DELTAS))


def expected(*clocks):
    return sorted((clock, ticker) for clock in clocks for ticker in TICKERS)


@pytest.fixture
def shards(recordings):
    return lambda of: [recordings("orderbook_deltas", shard=Shard(number, of)) for number in range(of)]


def test_shards_together_merge_everything_and_each_its_own(shards, production):
    three = shards(3)
    three[0].record("a", deltas(1))
    three[0].record("b", deltas(1, 2))
    read = [sum(recording.round()[1] for _ in range(2)) for recording in three]
    assert merged(production) == expected(1, 2)
    assert all(0 < new < 60 for new in read)


def test_what_is_confirmed_is_what_every_shard_has(shards, production):
    first, second = shards(2)
    first.record("a", deltas(1))
    first.round()
    with connected(production) as connection:
        assert merged_through(connection, "a")["orderbook_deltas"].ingest_id == 0
        second.round()
        assert merged_through(connection, "a")["orderbook_deltas"] == first.positions["a"]


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (2, 3)])
def test_another_number_of_shards_begins_where_the_last_one_was(shards, production, before, after):
    old = shards(before)
    old[0].record("a", deltas(1))
    for recording in old:
        recording.round()
    old[0].record("a", deltas(2))
    old[0].round()
    for recording in old:
        recording.forget()
    for recording in shards(after):
        recording.round()
    assert merged(production) == expected(1, 2)
    with connected(production) as connection:
        assert value_of(connection, "SELECT array_agg(DISTINCT shards) FROM sync_cursors") == [after]


def test_a_table_is_not_divided_anew_while_somebody_merges_it(shards, gatherers, production):
    (old,) = shards(1)
    old.round()
    new = Merger(rule_of("orderbook_deltas"), Shard(0, 2), gatherers, production)
    assert [new.open(), new.open()] == [None, None]
    old.record("a", deltas(1))
    assert old.round().new == len(TICKERS)
    # Not how many rows there are: one that met no chunk took an id, and so does its second attempt.
    was_read_to = old.positions
    old.forget()
    assert wait_until(new.open) == was_read_to
    new.close()


def test_a_shard_is_merged_by_one_process_until_that_is_gone(shards, gatherers, production, server):
    (owner,) = shards(1)
    owner.round()
    standby = Merger(rule_of("orderbook_deltas"), Shard(0, 1), gatherers, production)
    assert standby.open() is None
    owner.record("a", deltas(1))
    owner.round()
    with connected(server.dsn("postgres")) as other:
        other.autocommit = True
        with owner.merger._kept.still_open() as session:
            owner_pid = session.info.backend_pid
        value_of(other, "SELECT pg_terminate_backend(%s)", (owner_pid,))
    assert wait_until(standby.open) == owner.positions
    standby.close()


def test_a_round_from_a_cursor_that_somebody_moved_leaves_nothing(shards, production):
    (recording,) = shards(1)
    recording.round()
    with connected(production) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE sync_cursors SET ingest_id = 7, probe = 1 WHERE gatherer = 'b'")
        connection.commit()
    recording.record("a", deltas(1))
    with pytest.raises(CursorMovedError):
        recording.round()
    assert merged(production) == []


MOVES = {
    "back to the beginning": "ingest_id = 0, probe = NULL",
    "back to a row": "ingest_id = ingest_id - 1, probe = 1",
    "forward": "ingest_id = ingest_id + 7, probe = 1",
    "to another row of the same number": "probe = probe - 1",
    "to a number without a row": "ingest_id = ingest_id + 7",
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_after_a_cursor_was_moved_every_row_is_there_once(shards, production, move):
    """Moved back, rows are read again; where the cursor finds another row or none, all of them."""
    (recording,) = shards(1)
    recording.record("a", deltas(1))
    recording.round()
    execute(production, f"UPDATE sync_cursors SET {move} WHERE gatherer = 'a'")
    recording.record("a", deltas(2))
    with pytest.raises(CursorMovedError):
        recording.round()
    assert merged(production) == expected(1)
    recording.forget()
    recording.catch_up()
    assert merged(production) == expected(1, 2)


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_a_merger_without_anything_to_merge_notices_a_cursor_that_was_moved(shards, production, move):
    (recording,) = shards(1)
    recording.record("a", deltas(1))
    recording.round()
    recording.merger.refuse_moved_cursors()
    execute(production, f"UPDATE sync_cursors SET {move} WHERE gatherer = 'a'")
    with pytest.raises(CursorMovedError):
        recording.merger.refuse_moved_cursors()
    recording.forget()
    recording.catch_up()
    recording.merger.refuse_moved_cursors()
    assert merged(production) == expected(1)


def test_one_shard_s_discovery_of_an_older_state_holds_for_all(shards, gatherers, production):
    first, second = shards(2)
    first.record("a", deltas(1))
    first.round()
    second.round()
    with connected(gatherers["a"]) as connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE orderbook_deltas RESTART IDENTITY")
        connection.commit()
    first.record("a", deltas(2, 3))
    first.round()
    with connected(production) as connection:
        assert merged_through(connection, "a")["orderbook_deltas"].ingest_id == 0
    with pytest.raises(CursorMovedError):
        second.round()
    second.forget()
    for recording in (first, second):
        recording.round()
    assert merged(production) == expected(1, 2, 3)


def test_a_gatherer_that_is_new_is_read_from_its_beginning(shards, gatherers, production):
    only_a = Merger(rule_of("orderbook_deltas"), Shard(0, 1), {"a": gatherers["a"]}, production)
    wait_until(only_a.open)
    only_a.close()
    (recording,) = shards(1)
    recording.record("b", deltas(1))
    assert recording.round().new == len(TICKERS)


def test_processes_count_each_other(production):
    processes = [Members(production) for _ in range(3)]
    assert [process.count() for process in processes] == [1, 2, 3]
    processes[0].close()
    wait_until(lambda: processes[1].count() == 2)
    for process in processes[1:]:
        process.close()


@given(lanes=st.integers(0, 100), members=st.integers(0, 20))
def test_fair_shares_are_enough_for_all_lanes_and_no_larger_than_they_have_to_be(lanes, members):
    share = fair_share(lanes, members)
    assert share * max(members, 1) >= lanes
    assert (share - 1) * max(members, 1) < lanes


def opened_or_not(*mergers):
    """Each tries for a while: the first to come divides the table, and everybody looks again."""
    return [[merger.open() is not None for merger in mergers] for _ in range(3)][-1]


def test_a_process_that_knows_fewer_gatherers_waits_and_says_so_until_the_others_are_gone(gatherers, production):
    rule, fewer = rule_of("orderbook_deltas"), {name: gatherers[name] for name in "ab"}
    one, other = Merger(rule, Shard(0, 2), gatherers, production), Merger(rule, Shard(1, 2), fewer, production)
    assert opened_or_not(one, other) == [True, False]
    assert "or other gatherers" in other.obstacle
    one.close()
    assert sorted(wait_until(other.open)) == ["a", "b"]
    assert one.open() is None
    assert "or other gatherers" in one.obstacle
    other.close()
    assert sorted(wait_until(one.open)) == ["a", "b", "c"]
    one.close()


def test_a_gatherer_that_was_left_out_for_a_while_is_read_on_from_where_it_was(shards, gatherers, production):
    (recording,) = shards(1)
    recording.record("c", deltas(1))
    recording.round()
    recording.forget()
    without = Merger(rule_of("orderbook_deltas"), Shard(0, 1), {"a": gatherers["a"]}, production)
    assert sorted(wait_until(without.open)) == ["a"]
    without.close()
    recording.record("c", deltas(2))
    assert recording.round() == (len(TICKERS), len(TICKERS), 0)
