import pytest

from app.polling.books import unfit_row
from app.polling.trades import DirectSink
from app.storage.tables import ORDERBOOK_SNAPSHOTS, QUARANTINE
from tests.polling.books import answered, row_of
from tests.storage.reading import rows_of
from tests.storage.rows import NOON_US


@pytest.fixture
def sink(timeseries):
    made = DirectSink(timeseries)
    yield made
    made.close()


def test_rows_are_in_the_database_when_put_returns_and_the_new_ones_are_counted(sink, connection):
    for _ in range(2):
        sink.put(ORDERBOOK_SNAPSHOTS, [row_of()])
    assert rows_of(connection, ORDERBOOK_SNAPSHOTS) == [row_of()]
    assert sink.inserted == {"orderbook_snapshots": 1}


def test_what_is_unfit_is_in_quarantine_as_it_came(sink, connection):
    sink.put(QUARANTINE, [unfit_row(ORDERBOOK_SNAPSHOTS, answered(), "the reason", NOON_US)])
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name, reason, payload FROM quarantine")
        [(table, reason, payload)] = cursor.fetchall()
    assert (table, reason, bytes(payload)) == ("orderbook_snapshots", "the reason", bytes(answered()))
