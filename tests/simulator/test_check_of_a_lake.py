"""The check against Parquet files that a perfect exporter wrote, and that are then damaged."""

import json
import shutil
from itertools import groupby

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from app.cli.simulator import check
from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from tests.servers import new_database
from tests.simulator.judging import found
from tests.simulator.recording import COLUMNS, Run

TYPES = {
    "timestamptz": pa.timestamp("us", "UTC"),
    "int8": pa.int64(),
    "int4": pa.int32(),
    "bool": pa.bool_(),
    "text": pa.string(),
    "jsonb": pa.string(),
    "_int4": pa.list_(pa.int32()),
    "_int8": pa.list_(pa.int64()),
}


def schema_of(cursor, table):
    cursor.execute(
        "SELECT column_name, udt_name FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name = %s AND column_name NOT IN ('ingest_id', 'copies') "
        "ORDER BY ordinal_position",
        (table,),
    )
    return pa.schema([(name, TYPES[kind]) for name, kind in cursor.fetchall()])


def export(connection, lake):
    """Hive partitions by hour, each sorted by ticker."""
    with connection.cursor() as cursor:
        for table in COLUMNS:
            schema = schema_of(cursor, table)
            cursor.execute(f"SELECT {', '.join(schema.names)} FROM {table} ORDER BY {schema.names[0]}")
            for hour, rows in groupby(cursor.fetchall(), key=lambda row: row[0].strftime("date=%Y-%m-%d/hour=%H")):
                records = [
                    {
                        name: json.dumps(value) if name == "payload" else value
                        for name, value in zip(schema.names, row, strict=True)
                    }
                    for row in sorted(rows, key=lambda row: row[schema.names.index("ticker")])
                ]
                folder = lake / "processed" / table / hour
                folder.mkdir(parents=True)
                parquet.write_table(pa.Table.from_pylist(records, schema), folder / "part-0.parquet")


@pytest.fixture(scope="module")
def perfect(tmp_path_factory, server, templates):
    """A truth, and the lake that has all of it."""
    folder = tmp_path_factory.mktemp("perfect")
    run = Run(folder / "truth").record_books(range(100)).advance(20).record_everything()
    with connected(new_database(server, templates[DatabaseKind.PRODUCTION])) as connection:
        run.write(connection)
        export(connection, folder / "lake")
    return folder


@pytest.fixture
def lake(perfect, tmp_path):
    """For a test to damage."""
    shutil.copytree(perfect, tmp_path, dirs_exist_ok=True)
    return tmp_path / "lake"


def verdict(lake):
    done = CliRunner().invoke(check, ["--truth", str(lake.parent / "truth"), "--lake", str(lake), "--json"])
    return done.exit_code, json.loads(done.stdout)["lake"]


def damage(lake, table, change):
    file = next((lake / "processed" / table).rglob("*.parquet"))
    parquet.write_table(change(parquet.read_table(file, partitioning=None)), file)


def test_a_perfect_lake_passes(lake):
    exit_code, report = verdict(lake)
    assert (exit_code, found(report)) == (0, {})
    assert all(table["found"] == table["expected"] > 10 for table in report["tables"])
    assert report["books"]["compared"] > 50
    assert report["books"]["snapshots_compared"] == 100


@pytest.mark.parametrize("table", ["trades", "tickers", "lifecycle_events"])
def test_a_row_that_is_gone_is_lost(lake, table):
    damage(lake, table, lambda rows: rows.slice(1))
    exit_code, report = verdict(lake)
    assert (exit_code, found(report)) == (1, {(table, "lost"): 1})


def test_a_file_twice_is_all_duplicated(lake):
    damage(lake, "trades", lambda rows: pa.concat_tables([rows, rows]))
    exit_code, report = verdict(lake)
    (trades,) = [table for table in report["tables"] if table["table"] == "trades"]
    assert (exit_code, found(report)) == (1, {("trades", "duplicated"): trades["expected"]})


def test_an_altered_size_is_altered(lake):
    def one_more(rows):
        sizes = rows["size_e2"].to_pylist()
        position = rows.schema.get_field_index("size_e2")
        return rows.set_column(position, rows.schema.field(position), [[sizes[0] + 1, *sizes[1:]]])

    damage(lake, "trades", one_more)
    assert found(verdict(lake)[1]) == {("trades", "altered"): 1}


def test_a_folder_that_is_no_lake_is_refused(lake, tmp_path):
    done = CliRunner().invoke(check, ["--truth", str(tmp_path / "truth"), "--lake", str(tmp_path)])
    assert done.exit_code == 1
    assert "is no lake" in str(done.exception)


def test_something_to_compare_has_to_be_named(lake):
    done = CliRunner().invoke(check, ["--truth", str(lake.parent / "truth")])
    assert done.exit_code == 2
    assert "--production, --gatherer, --lake or several" in done.output
