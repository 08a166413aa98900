import json

import pytest

from app.normalize.events import rest_trade_row
from app.normalize.metadata import event_row, market_row, series_row
from app.normalize.snapshots import confirmation_row, rest_snapshot_row
from app.normalize.stream import TABLES
from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.storage.binary_copy import copy_bytes
from app.storage.tables import GATHERER_TABLES, METADATA_TABLES, ORDERBOOK_SNAPSHOTS, TRADES
from app.storage.writer import CopyWriter
from tests.normalize.frames import RECEIVED_US, TRADE, delta, lifecycle, snapshot, ticker, trade
from tests.normalize.reading import Reader
from tests.normalize.test_metadata_rows import MARKET
from tests.servers import new_database
from tests.storage.reading import rows_of


def rows_by_table():
    through = Reader()
    rows = {table: [] for table in GATHERER_TABLES}
    streamed = [
        *(delta(seq=1), delta(seq=2, ts_ms=None), delta(seq=9, clock=8), snapshot(((10_000, 5),), seq=10)),
        *(trade(), ticker(price_dollars="", yes_bid_size_fp=None), lifecycle(event_type="created")),
        lifecycle("event_fee_update", event_ticker="E", fee_multiplier_override=1.5),
    ]
    for sid, written in enumerate(streamed):
        message, row = through.read(written.replace(b'"sid":2', b'"sid":%d' % sid), RECEIVED_US)
        rows[TABLES[type(message)]].append(row)
    told = json.dumps({**TRADE, "ticker": "T", "created_time": "2026-11-01T13:00:00.5Z"}).encode()
    rows[TRADES].append(rest_trade_row(told, RECEIVED_US))
    polled = b'{"ticker":"T","orderbook_fp":{"yes_dollars":[["0.1","2"]],"no_dollars":null}}'
    full, later = rest_snapshot_row(polled, RECEIVED_US), rest_snapshot_row(polled, RECEIVED_US + 60_000_000)
    rows[ORDERBOOK_SNAPSHOTS] += [full, confirmation_row(later)]
    return rows


def as_stored(table, row):
    """JSON is compared as what it says."""
    values = zip(table.columns, row, strict=True)
    return [json.loads(value) if column.type.value == "bytes" else value for column, value in values]


def test_what_the_stream_and_rest_say_is_in_the_database_as_it_was_said(timeseries, connection):
    for table, rows in rows_by_table().items():
        writer = CopyWriter(table, timeseries)
        assert writer.write(rows) == (len(rows), 0, 0), table.name
        writer.close()
        stored = rows_of(connection, table)
        assert [as_stored(table, row) for row in stored] == [as_stored(table, row) for row in rows], table.name


@pytest.fixture
def metadata(server, templates):
    with connected(new_database(server, templates[DatabaseKind.METADATA])) as opened:
        yield opened


def test_series_events_and_markets_fit_their_tables(metadata, tmp_path):
    written = {
        "series": series_row(b'{"ticker":"KXTEST","title":"Rain","tags":null}', RECEIVED_US),
        "events": event_row(b'{"event_ticker":"E","series_ticker":"KXTEST","title":"Rain"}', RECEIVED_US),
        "markets": market_row(json.dumps(MARKET).encode(), RECEIVED_US),
    }
    for table in METADATA_TABLES:
        file = tmp_path / table.name
        file.write_bytes(copy_bytes(table, [written[table.name]]))
        names = ", ".join(table.column_names)
        with metadata.cursor() as cursor, file.open("rb") as content:
            cursor.copy_expert(f"COPY {table.name} ({names}) FROM STDIN (FORMAT binary)", content)
            cursor.execute(f"SELECT count(*) FROM {table.name}")
            assert cursor.fetchone() == (1,)


def test_every_column_of_the_metadata_tables_is_written(metadata):
    for table in METADATA_TABLES:
        with metadata.cursor() as cursor:
            cursor.execute(
                "SELECT column_name, is_nullable = 'YES' FROM information_schema.columns "
                "WHERE table_schema = 'public' AND table_name = %s AND is_identity = 'NO'",
                (table.name,),
            )
            assert set(cursor.fetchall()) == {(column.name, column.nullable) for column in table.columns}
