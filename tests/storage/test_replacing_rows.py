import json

import pytest

from app.postgres.connection import connected, value_of
from app.postgres.databases import DatabaseKind
from app.storage.tables import MARKETS, ORDERBOOK_DELTAS, QUARANTINE, RUNS, SERIES
from app.storage.writer import CopyWriter
from tests.servers import new_database
from tests.storage import rows
from tests.storage.reading import rows_of

NOON_US = rows.NOON_US


@pytest.fixture
def metadata(server, templates):
    return new_database(server, templates[DatabaseKind.METADATA])


@pytest.fixture
def aside():
    return []


@pytest.fixture
def writer(metadata, aside):
    made = CopyWriter(SERIES, metadata, set_aside=aside.extend)
    yield made
    made.close()


@pytest.fixture
def reader(metadata):
    with connected(metadata) as opened:
        yield opened


def series(ticker="KXA", title="A", updated_at=NOON_US, details=b'{"a": 1}'):
    return (ticker, title, None, None, None, None, updated_at, details)


def stored(reader, table):
    return [(*row[:-1], row[-1].encode()) for row in rows_of(reader, table)]


def ingest_ids(reader):
    with reader.cursor() as cursor:
        cursor.execute("SELECT ticker, ingest_id FROM series")
        return dict(cursor.fetchall())


def test_a_changed_row_replaces_the_known_one_and_comes_last_in_the_order_of_arrival(writer, reader):
    writer.write([series("KXA"), series("KXB")])
    assert writer.write([series("KXA", "changed", NOON_US + 1)]) == (1, 0, 0)
    assert stored(reader, SERIES) == [series("KXB"), series("KXA", "changed", NOON_US + 1)]


def test_what_only_was_looked_at_again_is_not_written_again(writer, reader):
    writer.write([series("KXA"), series("KXB")])
    before = ingest_ids(reader)
    reader.rollback()
    spaced = series("KXB", updated_at=NOON_US + 5, details=b'{ "a" : 1 }')
    assert writer.write([series("KXA", updated_at=NOON_US + 5), spaced]) == (0, 2, 0)
    assert ingest_ids(reader) == before
    assert stored(reader, SERIES) == [series("KXA"), series("KXB")]


def test_a_value_that_becomes_unknown_is_a_change(writer, reader):
    known = (*series()[:2], "Sports", *series()[3:])
    writer.write([known])
    assert writer.write([series()]) == (1, 0, 0)
    assert stored(reader, SERIES) == [series()]


def test_an_older_row_replaces_nothing(writer, reader):
    writer.write([series(title="new", updated_at=NOON_US)])
    assert writer.write([series(title="old", updated_at=NOON_US - 1)]) == (0, 1, 0)
    assert stored(reader, SERIES) == [series(title="new")]


@pytest.mark.parametrize("titles", [["first", "last"], ["last", "first"], ["first", "middle", "last"]])
def test_of_a_batch_the_newest_row_of_a_key_counts(writer, reader, titles):
    age = ["first", "middle", "last"]
    batch = [series(title=title, updated_at=NOON_US + age.index(title)) for title in titles]
    assert writer.write(batch) == (1, len(batch) - 1, 0)
    assert stored(reader, SERIES) == [series(title="last", updated_at=NOON_US + 2)]


def test_of_equally_new_rows_the_last_counts(writer, reader):
    assert writer.write([series(title="first"), series(title="last")]) == (1, 1, 0)
    assert stored(reader, SERIES) == [series(title="last")]


@pytest.mark.parametrize(
    "bad",
    [series("KXA", None), series("KXA", "nul\0"), (["no key"], *series()[1:]), series()[:3], (*series(), "too long")],
    ids=["null", "nul", "unhashable key", "short", "long"],
)
def test_a_bad_row_is_set_aside_and_the_rest_of_its_batch_stays(writer, reader, aside, bad):
    good = [series(f"KX{number}") for number in range(20)]
    assert writer.write([*good[:7], bad, *good[7:]]) == (20, 0, 1)
    assert sorted(stored(reader, SERIES)) == sorted(good)
    assert [row.table_name for row in aside] == ["series"]
    assert writer.write([series("KXB")]) == (1, 0, 0)
    assert len(aside) == 1


def test_a_market_in_a_status_that_does_not_exist_is_set_aside(metadata, reader):
    aside = []
    writer = CopyWriter(MARKETS, metadata, set_aside=aside.extend)
    market = ("KXA-1", "KXA", "title", None, None, "active", "binary", "", *[None] * 10, NOON_US, b"{}")
    unheard_of = ("KXA-2", *market[1:5], "melted", *market[6:])
    assert writer.write([market, unheard_of]) == (1, 0, 1)
    writer.close()
    assert stored(reader, MARKETS) == [market]
    assert "markets_status_check" in aside[0].reason


def test_a_run_goes_on_by_replacing_its_row(timeseries, connection):
    writer = CopyWriter(RUNS, timeseries)
    run = (NOON_US, "gatherer", NOON_US)
    writer.write([(*run, NOON_US + 1, None)])
    assert writer.write([(*run, NOON_US + 2, None), (*run, NOON_US + 3, NOON_US + 4)]) == (1, 1, 0)
    writer.close()
    assert rows_of(connection, RUNS) == [(*run, NOON_US + 3, NOON_US + 4)]


def test_frames_go_to_quarantine_byte_by_byte(timeseries, connection):
    writer = CopyWriter(QUARANTINE, timeseries)
    frame = (NOON_US, None, "not JSON", bytes(range(256)))
    refused = (NOON_US, "trades", "reason", "text and no bytes")
    assert writer.write([frame, refused]) == (1, 0, 1)
    writer.close()
    with connection.cursor() as cursor:
        cursor.execute("SELECT reason, payload FROM quarantine ORDER BY quarantine_id")
        found = [(reason, bytes(payload)) for reason, payload in cursor.fetchall()]
    assert found.count((frame[2], frame[3])) == 1
    ((_, payload),) = [row for row in found if "does not fit" in row[0]]
    assert json.loads(payload)["payload"] == "text and no bytes"


def test_what_is_in_quarantine_already_is_not_put_there_again(timeseries, connection):
    """A replay, or a batch of which nobody knew whether it had been committed."""
    frame = (NOON_US, None, "not JSON", b"x")
    polled = (NOON_US, "trades", "no price", b"{}")
    others = [(NOON_US + 1, *frame[1:]), (NOON_US, None, "not JSON", b"y"), (NOON_US, "tickers", "no price", b"{}")]
    writer = CopyWriter(QUARANTINE, timeseries)
    assert writer.write([frame, polled]) == (2, 0, 0)
    again = [frame, (NOON_US + 60_000_000, *polled[1:])]
    assert writer.write([*again, *others]) == (3, 2, 0)
    assert writer.write([*again, *others]) == (0, 5, 0)
    writer.close()
    assert value_of(connection, "SELECT count(*) FROM quarantine") == 5


def test_a_refused_row_that_is_written_again_is_in_quarantine_once(timeseries, connection):
    bad = rows.delta(price_e6=-1)
    for _ in range(2):
        writer = CopyWriter(ORDERBOOK_DELTAS, timeseries)
        assert writer.write([rows.delta(), bad]).quarantined == 1
        writer.close()
    assert value_of(connection, "SELECT count(*) FROM quarantine") == 1
