"""`date` is a date and `hour` an integer of 64 bits for every reader, in the words of docs/lake.md."""

import re
from datetime import date

import duckdb
import polars as pl
import pyarrow as pa
import pytest

import kalshi_data as kd
from kalshi_data.description import lake_sql
from kalshi_data.layout import TRADES
from tests.code_base.sources import ROOT


def program(word):
    """The lines of the document that name a reader."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/lake.md").read_text(), re.MULTILINE | re.DOTALL)
    [found] = [block for block in blocks if word in block]
    return found


@pytest.mark.parametrize("word", ["pyarrow", "duckdb", "polars"])
def test_readers_have_the_documented_types(folder, monkeypatch, word):
    monkeypatch.chdir(folder.parent)
    (folder.parent / "lake").exists() or (folder.parent / "lake").symlink_to(folder)
    names = {}
    exec(program(word), names)  # noqa: S102 - the document's own lines
    table = names["trades"]
    if isinstance(table, duckdb.DuckDBPyRelation):
        assert dict(zip(table.columns, map(str, table.types), strict=True))["hour"] == "BIGINT"
        assert dict(zip(table.columns, map(str, table.types), strict=True))["date"] == "DATE"
    elif isinstance(table, pl.LazyFrame):
        assert (table.collect_schema()["date"], table.collect_schema()["hour"]) == (pl.Date, pl.Int64)
    else:
        assert (table.schema.field("date").type, table.schema.field("hour").type) == (pa.date32(), pa.int64())


def test_the_library_and_lake_sql_have_them_too(folder):
    rows = kd.open(folder).dataset("trades").to_table(["date", "hour"])
    assert rows.schema.types == [pa.date32(), pa.int64()]
    assert {(row["date"], row["hour"]) for row in rows.to_pylist()} == {
        (date(2026, 11, 21), 10),
        (date(2026, 11, 21), 12),
        (date(2026, 11, 21), 13),
    }
    with duckdb.connect() as session:
        session.execute(lake_sql((TRADES,), str(folder)))
        types = session.sql("SELECT typeof(date), typeof(hour) FROM trades LIMIT 1").fetchall()
    assert types == [("DATE", "BIGINT")]
