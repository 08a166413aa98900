from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.audit.pairs import levels_of
from app.postgres.connection import value_of
from app.storage.tables import ORDERBOOK_DELTAS, ORDERBOOK_SNAPSHOTS
from app.storage.writer import CopyWriter
from kalshi_data.order_book import BookChange, BookSnapshot, apply_deltas, recorded_book
from tests.storage import rows
from tests.storage.reading import EPOCH
from tests.storage.rows import NOON_US

SECOND_US = 1_000_000


class Written:
    """Of one market, as kalshi_data/order_book.py reads it."""

    def __init__(self):
        self.snapshots, self.deltas = [], []

    def last_snapshot(self, until):
        found = [s for s in self.snapshots if s.snapshot_ts <= until]
        return max((s for s in found if s.is_of_stream), default=None) or max(found, default=None)

    def changes(self, after, until):
        return [change for change in self.deltas if after < change.exchange_ts <= until]

    def replace(self, snapshots, deltas, ticker="KXTEST-1"):
        self.snapshots = [
            BookSnapshot(moment(s[0]), moment(s[1]), s[2], s[5], levels_of(*s[6:10]))
            for s in snapshots
            if s[4] == ticker and s[6] is not None
        ]
        self.deltas = [
            BookChange(moment(d[0]), moment(d[1]), d[2], d[8], d[6], d[4], d[3]) for d in deltas if d[9] == ticker
        ]


WRITTEN = Written()


def moment(us):
    return EPOCH + timedelta(microseconds=us)


@pytest.fixture
def record(timeseries, connection):
    def record(snapshots=(), deltas=()):
        WRITTEN.replace(snapshots, deltas)
        for table, written in ((ORDERBOOK_SNAPSHOTS, snapshots), (ORDERBOOK_DELTAS, deltas)):
            with connection.cursor() as cursor:
                cursor.execute(f"TRUNCATE {table.name}")
            connection.commit()
            writer = CopyWriter(table, timeseries)
            writer.write(list(written))
            writer.close()

    return record


def book_at(connection, at_us):
    """In SQL and in Python."""
    found = book_in_sql(connection, at_us)
    book = recorded_book(WRITTEN, moment(at_us))
    assert (book.levels if book else {}) == found
    return found


def book_in_sql(connection, at_us):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT side, price_e6, size_e2 FROM order_book('KXTEST-1', 'epoch'::TIMESTAMPTZ + %s * INTERVAL '1 us')",
            (at_us,),
        )
        found = {(side == "yes", price_e6): size_e2 for side, price_e6, size_e2 in cursor.fetchall()}
    connection.commit()
    return found


def received(delta, received_us):
    return (delta[0], received_us, *delta[2:])


def without_time(delta):
    return (*delta[:8], True, *delta[9:])


def best_at(connection, at_us):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT yes_bid, yes_ask, no_bid, no_ask FROM best_prices('KXTEST-1', 'epoch'::TIMESTAMPTZ + %s * INTERVAL '1 us')",
            (at_us,),
        )
        (best,) = cursor.fetchall()
    connection.commit()
    return best


def test_without_a_snapshot_there_is_no_book(connection, record):
    record(deltas=[rows.delta()])
    assert book_at(connection, NOON_US + SECOND_US) == {}
    assert best_at(connection, NOON_US) == (None, None, None, None)


def test_a_book_is_its_snapshot_and_every_later_change(connection, record):
    record(
        [rows.snapshot(clock=5, yes=[(400_000, 100)], no=[(570_000, 200)])],
        [
            rows.delta(at_us=NOON_US + 1, clock=6, price_e6=410_000, delta_e2=50),
            rows.delta(at_us=NOON_US + 2, clock=7, price_e6=400_000, delta_e2=-100),
            rows.delta(at_us=NOON_US + 3, clock=8, price_e6=570_000, delta_e2=-150, yes_side=False),
        ],
    )
    assert book_at(connection, NOON_US + 1) == {(True, 400_000): 100, (True, 410_000): 50, (False, 570_000): 200}
    assert book_at(connection, NOON_US + 3) == {(True, 410_000): 50, (False, 570_000): 50}
    assert best_at(connection, NOON_US + 3) == tuple(map(Decimal, ("0.41", "0.43", "0.57", "0.59")))


@pytest.mark.parametrize("late_seconds", [0.001, 1.5, 20, 59])
def test_a_change_that_a_late_snapshot_lacks_counts_however_much_earlier_it_is_stamped(
    connection, record, late_seconds
):
    late_us = int(late_seconds * SECOND_US)
    record(
        [rows.snapshot(clock=5, yes=[(400_000, 100)])],
        [received(rows.delta(at_us=NOON_US - late_us, clock=6, price_e6=400_000), NOON_US + 1)],
    )
    assert book_at(connection, NOON_US) == {(True, 400_000): 200}


@pytest.mark.parametrize("apart_seconds", [0.001, 1.5, 20, 59])
def test_a_change_that_a_snapshot_holds_does_not_count_however_much_later_it_is_stamped(
    connection, record, apart_seconds
):
    apart_us = int(apart_seconds * SECOND_US)
    record(
        [rows.snapshot(clock=5, yes=[(400_000, 100)])],
        [received(rows.delta(at_us=NOON_US + apart_us, clock=5, price_e6=400_000), NOON_US - 1)],
    )
    assert book_at(connection, NOON_US + apart_us) == {(True, 400_000): 100}


@pytest.mark.parametrize("pause_seconds", [1, 20, 59, 7_200])
def test_after_clocks_began_anew_what_was_before_is_not_counted_again(connection, record, pause_seconds):
    after_us = NOON_US + pause_seconds * SECOND_US
    record(
        [
            rows.snapshot(at_us=NOON_US - 9 * SECOND_US, clock=899),
            rows.snapshot(at_us=after_us, clock=3, yes=[(500_000, 700)]),
        ],
        [rows.delta(clock=900, delta_e2=700), rows.delta(at_us=after_us + 1, clock=4, price_e6=410_000)],
    )
    assert book_at(connection, NOON_US) == {(True, 500_000): 700}
    assert book_at(connection, after_us) == {(True, 500_000): 700}
    assert book_at(connection, after_us + 1) == {(True, 500_000): 700, (True, 410_000): 100}


def test_without_an_earlier_snapshot_either(connection, record):
    record(
        [rows.snapshot(at_us=NOON_US + 20 * SECOND_US, clock=3, yes=[(500_000, 700)])],
        [rows.delta(clock=900, delta_e2=700)],
    )
    assert book_at(connection, NOON_US + 20 * SECOND_US) == {(True, 500_000): 700}


def test_clocks_that_begin_anew_while_everybody_listens_go_on_from_the_book_as_it_is(connection, record):
    record(
        [rows.snapshot(clock=50, yes=[(400_000, 100)])],
        [
            rows.delta(at_us=NOON_US + 2 * SECOND_US, clock=51),
            rows.delta(at_us=NOON_US + 5 * SECOND_US, clock=1),
            rows.delta(at_us=NOON_US + 6 * SECOND_US, clock=2, price_e6=410_000),
        ],
    )
    assert book_at(connection, NOON_US + 6 * SECOND_US) == {
        (True, 400_000): 100,
        (True, 500_000): 200,
        (True, 410_000): 100,
    }


def test_a_change_without_a_time_of_the_old_clocks_that_is_stamped_late_does_not_count(connection, record):
    record(
        [received(rows.snapshot(clock=3, yes=[(400_000, 100)]), NOON_US + 60_000)],
        [
            without_time(received(rows.delta(at_us=NOON_US + 5_000, clock=900), NOON_US + 20_000)),
            rows.delta(at_us=NOON_US + SECOND_US, clock=4, price_e6=410_000),
        ],
    )
    assert book_at(connection, NOON_US + SECOND_US) == {(True, 400_000): 100, (True, 410_000): 100}


def test_a_change_without_a_time_of_before_clocks_fell_is_not_taken_for_one_of_afterwards(connection, record):
    record(
        [rows.snapshot(clock=50, yes=[(400_000, 100)])],
        [
            rows.delta(at_us=NOON_US + 2 * SECOND_US, clock=51),
            rows.delta(at_us=NOON_US + 5 * SECOND_US, clock=1),
            without_time(rows.delta(at_us=NOON_US + 5 * SECOND_US + 1, clock=49, price_e6=400_000)),
            rows.delta(at_us=NOON_US + 6 * SECOND_US, clock=2),
        ],
    )
    assert book_at(connection, NOON_US + 6 * SECOND_US) == {(True, 400_000): 100, (True, 500_000): 300}


def test_a_snapshot_that_comes_late_to_one_recorder_takes_nothing_back(connection, record):
    record(
        [
            rows.snapshot(at_us=NOON_US - 9 * SECOND_US, clock=5, yes=[(400_000, 100)]),
            rows.snapshot(at_us=NOON_US + SECOND_US, clock=5, yes=[(400_000, 100)]),
        ],
        [rows.delta(clock=6), rows.delta(at_us=NOON_US + 2 * SECOND_US, clock=7)],
    )
    assert book_at(connection, NOON_US + SECOND_US) == {(True, 400_000): 100, (True, 500_000): 100}
    assert book_at(connection, NOON_US + 2 * SECOND_US) == {(True, 400_000): 100, (True, 500_000): 200}


def test_a_gatherer_s_own_book_says_what_it_is_based_on_and_that_nothing_is_certain(connection, record):
    record(
        [rows.snapshot(clock=5, yes=[(400_000, 100)])],
        [rows.delta(at_us=NOON_US + at, clock=5 + at) for at in (1, 2, 3)],
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT state, known_until, hole, based_on = 'epoch'::TIMESTAMPTZ + %s * INTERVAL '1 us', source, changes "
            "FROM book_facts('KXTEST-1', 'epoch'::TIMESTAMPTZ + %s * INTERVAL '1 us')",
            (NOON_US, NOON_US + 2),
        )
        assert cursor.fetchall() == [("unknown", None, None, True, "ws", 2)]
        cursor.execute(
            "SELECT state, changes FROM order_book('KXTEST-1', 'epoch'::TIMESTAMPTZ + %s * INTERVAL '1 us')",
            (NOON_US + 2,),
        )
        assert cursor.fetchall() == [("unknown", 2)] * 2
    connection.commit()


def test_a_change_that_the_snapshot_already_holds_is_not_counted_again(connection, record):
    record(
        [rows.snapshot(clock=5, yes=[(400_000, 100)])],
        [
            rows.delta(at_us=NOON_US + 1, clock=5, price_e6=400_000),
            rows.delta(at_us=NOON_US - 1, clock=6, price_e6=400_000),
        ],
    )
    assert book_at(connection, NOON_US + 1) == {(True, 400_000): 200}


def test_identical_changes_of_one_clock_all_count(connection, record):
    record([rows.snapshot(clock=5)], [rows.delta(at_us=NOON_US + 1, clock=6, nth=nth) for nth in range(3)])
    assert book_at(connection, NOON_US + 1) == {(True, 500_000): 300}


def test_a_later_snapshot_replaces_the_book(connection, record):
    record(
        [rows.snapshot(clock=5, yes=[(400_000, 100)]), rows.snapshot(at_us=NOON_US + 10, clock=9)],
        [rows.delta(at_us=NOON_US + 1, clock=6)],
    )
    assert book_at(connection, NOON_US + 9) == {(True, 400_000): 100, (True, 500_000): 100}
    assert book_at(connection, NOON_US + 10) == {}


def test_a_snapshot_with_a_clock_is_preferred_to_a_polled_one(connection, record):
    record([rows.snapshot(clock=5, yes=[(400_000, 100)]), rows.snapshot(at_us=NOON_US + 1, clock=-1, source="rest")])
    assert book_at(connection, NOON_US + 2) == {(True, 400_000): 100}


def test_without_any_clock_changes_count_by_their_time(connection, record):
    record(
        [rows.snapshot(clock=-1, source="rest", yes=[(500_000, 100)])],
        [rows.delta(at_us=NOON_US, clock=-1), rows.delta(at_us=NOON_US + 1, clock=-1)],
    )
    assert book_at(connection, NOON_US + 1) == {(True, 500_000): 200}


def test_a_confirmation_is_no_book_of_its_own(connection, record):
    confirmation = rows.snapshot(at_us=NOON_US + 1, clock=-1, source="rest", is_confirmation=True)
    record([rows.snapshot(clock=-1, source="rest", yes=[(400_000, 100)]), confirmation])
    assert book_at(connection, NOON_US + 2) == {(True, 400_000): 100}


def test_another_market_s_changes_do_not_count(connection, record):
    record([rows.snapshot(clock=5)], [rows.delta(at_us=NOON_US + 1, clock=6, ticker="KXTEST-2")])
    assert book_at(connection, NOON_US + 1) == {}


def test_after_maintenance_clocks_begin_anew(connection, record):
    later_us = NOON_US + 7_200 * SECOND_US
    record(
        [rows.snapshot(clock=5_000), rows.snapshot(at_us=later_us, clock=3, yes=[(400_000, 100)])],
        [rows.delta(at_us=NOON_US + 1, clock=5_001), rows.delta(at_us=later_us + 1, clock=4)],
    )
    assert book_at(connection, later_us + 1) == {(True, 400_000): 100, (True, 500_000): 100}


def test_where_changes_after_a_snapshot_were_dropped_there_is_no_book_from_it(connection, record):
    day_us = 86_400 * SECOND_US
    record(
        [
            rows.snapshot(clock=5, yes=[(400_000, 100)]),
            rows.snapshot(at_us=NOON_US + 9 * day_us, clock=-1, source="rest", yes=[(600_000, 300)]),
        ],
        [rows.delta(at_us=NOON_US + 1, clock=6), rows.delta(at_us=NOON_US + 9 * day_us + 1, clock=7, price_e6=600_000)],
    )
    assert book_at(connection, NOON_US + 10 * day_us) == {
        (True, 400_000): 100,
        (True, 500_000): 100,
        (True, 600_000): 100,
    }
    assert value_of(
        connection,
        "SELECT drop_chunk('orderbook_deltas', 'epoch'::TIMESTAMPTZ + %s * INTERVAL '1 us', 1000000)",
        (NOON_US,),
    )
    connection.commit()
    assert book_in_sql(connection, NOON_US + 10 * day_us) == {(True, 600_000): 400}
    assert book_in_sql(connection, NOON_US + 1) == {}


def test_prices_and_sizes_are_readable_as_exact_decimals(connection, record):
    record(
        [rows.snapshot(clock=5, yes=[(123_400, 1)], no=[(500_000, 250)])],
        [rows.delta(at_us=NOON_US + 1, clock=6, price_e6=1, delta_e2=-1)],
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT side, price, yes_ask, contracts FROM readable.orderbook_snapshots ORDER BY side")
        assert cursor.fetchall() == [
            ("no", Decimal("0.5"), Decimal("0.5"), Decimal("2.5")),
            ("yes", Decimal("0.1234"), None, Decimal("0.01")),
        ]
        cursor.execute("SELECT side, price, change, clock FROM readable.orderbook_deltas")
        assert cursor.fetchall() == [("yes", Decimal("0.000001"), Decimal("-0.01"), 6)]
    connection.commit()


changes = st.tuples(
    st.booleans(), st.sampled_from([100_000, 200_000, 300_000]), st.integers(1, 500).map(lambda size: size * 10)
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.lists(changes, max_size=3), later=st.lists(changes, max_size=15), at=st.integers(0, 15))
def test_at_any_clock_the_book_is_what_plain_arithmetic_says(connection, record, start, later, at):
    book = apply_deltas({}, start)
    deltas = [
        rows.delta(at_us=NOON_US + clock, clock=clock, yes_side=yes_side, price_e6=price_e6, delta_e2=delta_e2)
        for clock, (yes_side, price_e6, delta_e2) in enumerate(later, 1)
    ]
    sides = [
        [(price, size) for (yes_side, price), size in book.items() if yes_side is wanted] for wanted in (True, False)
    ]
    record([rows.snapshot(clock=0, yes=sides[0], no=sides[1])], deltas)
    assert book_at(connection, NOON_US + at) == apply_deltas(book, later[:at])
