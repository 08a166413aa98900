"""Changes of markets from day to day, by the library and by lake.sql."""

from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

import kalshi_data as kd
from kalshi_data.description import lake_sql
from kalshi_data.layout import EVENTS, FOLDERS, IDENTITY, MARKETS, SERIES, day_folder
from kalshi_data.schema import schema_of

DAY = datetime(2026, 11, 20, tzinfo=UTC)
CLOSES = DAY + timedelta(days=1, hours=6)


def put(folder, table, day, *rows):
    path = folder / FOLDERS[table] / day_folder(day) / "part-0.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = schema_of(table)
    known = [{field.name: None if field.nullable else "" for field in schema} | row for row in rows]
    known.sort(key=lambda row: row[IDENTITY[table][0]])
    parquet.write_table(pa.Table.from_pylist(known, schema), path)


def market(ticker, at, **fields):
    return {
        "ticker": ticker,
        "event_ticker": "KXA-1",
        "status": "active",
        "updated_at": at,
        "close_time": CLOSES,
        **fields,
    }


@pytest.fixture
def lake(tmp_path):
    """A market that settles, one that does not change, one that comes later; and an event whose title changes."""
    hour = timedelta(hours=1)
    settled = {"status": "finalized", "result": "yes", "settlement_value_e6": 1_000_000}
    still, new = market("KXA-1-B", DAY), market("KXA-1-C", DAY + 30 * hour)
    put(tmp_path, MARKETS, DAY, market("KXA-1-A", DAY + hour), still)
    later = market("KXA-1-A", DAY + 25 * hour, close_time=CLOSES - timedelta(microseconds=1))
    put(tmp_path, MARKETS, DAY + timedelta(days=1), later, {**still, "updated_at": DAY + 26 * hour})
    put(tmp_path, MARKETS, DAY + timedelta(days=4), {**later, **settled, "updated_at": DAY + 100 * hour}, new)
    for days, title in enumerate(("One", "Two", "Two")):
        event = {"event_ticker": "KXA-1", "series_ticker": "KXA", "title": title, "updated_at": DAY + days * hour}
        put(tmp_path, EVENTS, DAY + timedelta(days=days), event)
    put(tmp_path, SERIES, DAY, {"ticker": "KXA", "updated_at": DAY})
    return kd.open(tmp_path)


def listed(records):
    return [tuple(row.values()) for row in records.to_arrow().to_pylist()]


def test_which_field_changed_from_what_to_what_and_when_it_was_seen(lake):
    first, last = DAY + timedelta(hours=25), DAY + timedelta(hours=100)
    assert listed(lake.market_changes()) == [
        ("KXA-1-A", "close_time", "2026-11-21T06:00:00.000000Z", "2026-11-21T05:59:59.999999Z", first),
        ("KXA-1-A", "result", "", "yes", last),
        ("KXA-1-A", "settlement_value", None, "1.000000", last),
        ("KXA-1-A", "status", "active", "finalized", last),
    ]
    assert listed(lake.event_changes("KXA")) == [("KXA-1", "title", "One", "Two", DAY + timedelta(hours=1))]
    assert listed(lake.series_changes()) == []


def test_changes_of_a_period_are_those_against_the_state_before_it(lake):
    found = listed(lake.market_changes("KXA-1-A", "2026-11-24", "2026-11-25"))
    assert [row[1] for row in found] == ["result", "settlement_value", "status"]
    assert listed(lake.market_changes("KXA-1", "2026-11-22", "2026-11-24")) == []
    assert listed(lake.market_changes("KXA-1-B")) == []
    with pytest.raises(kd.LakeError):
        lake.market_changes("KXNONE").to_arrow()
    assert lake.market_changes().to_df()["after"].tolist()[1] == "yes"


def test_lake_sql_lists_the_same_changes(lake, monkeypatch):
    monkeypatch.chdir(lake.location)
    for present in ((MARKETS, EVENTS, SERIES), (MARKETS,), ()):
        with duckdb.connect() as session:
            session.execute(lake_sql(present))
            for view, records in (("market_changes", lake.market_changes()), ("event_changes", lake.event_changes())):
                key = records.to_arrow().column_names[0]
                order = f"ORDER BY seen_at, {key}, field"
                found = session.sql(f"SELECT * EXCLUDE (date) FROM {view} {order}").to_arrow_table()
                expected = (
                    records.to_arrow().to_pylist() if view.startswith(tuple(name[:-1] for name in present)) else []
                )
                assert found.to_pylist() == (expected if present else [])
