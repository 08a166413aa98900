import subprocess
import sys
from datetime import UTC, datetime

import pytest
from pyarrow import parquet

from app.errors import DatabaseError
from app.lake.exporter import hour_of_rows
from app.lake.layout import PROCESSED, schema_of
from app.lake.parquet import duckdb_session, write_sorted
from app.storage.tables import PRODUCTION_ORDERBOOK_DELTAS
from kalshi_data.schema import ROW_GROUP_ROWS
from tests.code_base.sources import ROOT
from tests.lake.exporting import write
from tests.servers import end_sessions
from tests.storage import rows

DELTAS = PROCESSED["orderbook_deltas"]
SCHEMA = schema_of(DELTAS.table)
MANY_DELTAS = f"""
    SELECT TIMESTAMPTZ '2026-11-01 12:00:00Z' AS exchange_ts, TIMESTAMPTZ '2026-11-01 12:00:00Z' AS received_at,
        i AS clock, 100 AS delta_e2, 500000 AS price_e6, 0 AS nth, TRUE AS yes_side, FALSE AS after_gap,
        FALSE AS ts_missing, 'KX-' || i // {ROW_GROUP_ROWS // 2} AS ticker
    FROM range({2 * ROW_GROUP_ROWS + 1}) AS numbers (i)
"""
LEFT_MIDWAY = """
import sys
from pathlib import Path

import pyarrow as pa

from app.lake.parquet import duckdb_session
from tests.servers import end_sessions

def batches():
    for number in range(1_000):
        yield pa.record_batch([pa.array(range(number, number + 2_000))], ["n"])

def leave(folder):
    with duckdb_session(folder) as session:
        session.register("numbers", pa.RecordBatchReader.from_batches(pa.schema([("n", pa.int64())]), batches()))
        with session.sql("SELECT n + 1 AS n FROM numbers").to_arrow_reader(100) as reader:
            return reader.read_next_batch().num_rows

for _ in range(20):
    assert leave(Path(sys.argv[1])) == 100
"""


@pytest.fixture
def session(tmp_path):
    with duckdb_session(tmp_path) as opened:
        yield opened


def test_row_groups_are_full_and_say_which_tickers_they_have(session, tmp_path):
    path = tmp_path / "hour.parquet"
    written = write_sorted(session, MANY_DELTAS, SCHEMA, DELTAS.identity, path)
    assert (written.rows, written.first_ticker, written.last_ticker) == (2 * ROW_GROUP_ROWS + 1, "KX-0", "KX-4")
    metadata = parquet.read_metadata(path)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 1]
    ticker = groups[0].column(SCHEMA.names.index("ticker"))
    assert ticker.has_column_index
    assert (ticker.statistics.min, ticker.statistics.max) == ("KX-0", "KX-1")
    found = "SELECT NOT bloom_filter_excludes FROM parquet_bloom_probe(?, 'ticker', ?) ORDER BY row_group_id"
    assert session.execute(found, [str(path), "KX-1"]).fetchall() == [(True,), (False,), (False,)]
    assert session.execute(found, [str(path), "KX-11"]).fetchall() == [(False,), (False,), (False,)]


def test_a_session_that_is_left_in_the_middle_of_reading_closes(tmp_path):
    """In a process of its own: what waits for ever in a destructor cannot be interrupted."""
    program = [sys.executable, "-c", LEFT_MIDWAY, str(tmp_path)]
    done = subprocess.run(program, cwd=ROOT, timeout=300, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_database_that_goes_away_is_an_operator_s_error(production, session, tmp_path):
    many = [rows.delta(clock=number, lineage=()) for number in range(50_000)]
    write(production, PRODUCTION_ORDERBOOK_DELTAS, many)
    with pytest.raises(DatabaseError, match="orderbook_deltas"):
        write_while_the_database_goes_away(production, session, tmp_path / "hour.parquet")


def write_while_the_database_goes_away(production, session, path):
    with hour_of_rows(production, DELTAS.table, datetime.fromtimestamp(rows.NOON_US / 1e6, UTC)) as stream:
        assert end_sessions(production, "exporter") == 1
        session.register("stream", stream)
        write_sorted(session, "SELECT * FROM stream", SCHEMA, DELTAS.identity, path)
