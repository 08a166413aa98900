"""What carried no time: the lake's own SQL makes of it what the deduplicator makes of it."""

import itertools

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.lake.layout import PROCESSED, schema_of
from app.lake.rebuild import SAME_EVENT
from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from tests.merge.recordings import TABLES, Recordings
from tests.servers import new_database
from tests.storage.reading import rows_of
from tests.storage.rows import NOON_US

NAMES = ("a", "b")
# Steps that meet the edges of the windows: two minutes for changes, one second for quotes.
STEPS_US = {"orderbook_deltas": 40_000_000, "tickers": 500_000}
tickers = (f"KXUNTIMED-{number}" for number in itertools.count())
copies = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(0, 9), st.integers(0, 1), st.booleans(), st.booleans()),
    min_size=1,
    max_size=12,
)


@pytest.fixture(scope="module")
def recordings(server, templates):
    gatherers = {name: new_database(server, templates[DatabaseKind.TIMESERIES]) for name in NAMES}
    production = new_database(server, templates[DatabaseKind.PRODUCTION])
    made = {name: Recordings(name, gatherers, production) for name in STEPS_US}
    yield made, production
    for each in made.values():
        each.close()


@pytest.mark.parametrize(
    "dataset", [each for each in PROCESSED.values() if each.table.identity], ids=lambda each: each.name
)
def test_a_file_is_in_the_order_of_its_events_identity_by_market(dataset):
    identity = dataset.table.identity
    assert dataset.identity == ("ticker", *(name for name in identity if name != "ticker"))


def row(table_name, at_us, event, is_untimed, after_gap, ticker):
    if table_name == "tickers":
        return (at_us, NOON_US, event, *[None] * 10, 0, is_untimed, ticker, 1, 1)
    # Without a clock too, each change is its own.
    return (at_us, NOON_US, event - 1, 100, 500_000, 0, True, after_gap, is_untimed, ticker, 1, 1, 1)


def rebuilt(table, rows):
    schema = schema_of(table)
    columns = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)]
    with duckdb.connect() as session:
        session.execute("SET TimeZone = 'UTC'")
        session.register(table.name, pa.Table.from_arrays(columns, schema.names))
        merged = session.sql(SAME_EVENT[table.name]).to_arrow_table()
    times = [merged[name].cast(pa.int64()) for name in ("exchange_ts", "received_at")]
    return list(zip(*(column.to_pylist() for column in (*times, *merged.columns[2:])), strict=True))


@pytest.mark.parametrize("name", STEPS_US)
def test_it_is_placed_where_the_deduplicator_places_it(name, recordings):
    recording, production = recordings[0][name], recordings[1]

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(copies)
    def is_placed(copies):
        ticker = next(tickers)
        heard = {
            (gatherer, step, event): row(name, NOON_US + step * STEPS_US[name], event, *flags, ticker)
            for gatherer, step, event, *flags in copies
        }
        for gatherer in NAMES:
            recording.record(gatherer, [heard[key] for key in heard if key[0] == gatherer])
        recording.round()
        with connected(production) as connection:
            placed = [tuple(row) for row in rows_of(connection, recording.rule.table) if ticker in row]
        assert sorted(rebuilt(TABLES[name], list(heard.values())), key=repr) == sorted(placed, key=repr)

    is_placed()
