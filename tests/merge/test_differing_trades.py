"""Copies of one trade that say different things: all versions are kept, and the same one is chosen in every order."""

from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
import pytest
from prometheus_client import REGISTRY
from pyarrow import parquet

from app.lake.engines import DuckDbEngine
from app.lake.layout import schema_of
from app.lake.rebuild import SAME_EVENT
from app.storage.tables import TRADES
from tests.gatherers import execute

NOON_US = 1_793_534_400_000_000


def trade(price, size, taker_yes, from_rest=False, at_us=NOON_US):
    return (at_us, at_us, size, price, taker_yes, None, from_rest, "KX", "id", 1, 1, 1)


VERSIONS = {"a": trade(510_000, 999, taker_yes=False), "b": trade(500_000, 100, taker_yes=True, at_us=NOON_US + 5_000)}
REST = {"c": trade(100_000, 1, taker_yes=True, from_rest=True)}


def counted():
    return REGISTRY.get_sample_value("kalshi_merge_differing_copies_total")


def rebuilt(rows):
    """What `lake rebuild` makes of the same copies."""
    schema = schema_of(TRADES)
    table = pa.Table.from_pylist([dict(zip(TRADES.column_names, row, strict=True)) for row in rows], schema)
    with TemporaryDirectory() as folder, duckdb.connect() as session:
        session.execute("SET TimeZone = 'UTC'")
        parquet.write_table(table, Path(folder) / "raw.parquet")
        engine = DuckDbEngine(session)
        made = engine.rows(SAME_EVENT["trades"], {"trades": [f"{folder}/raw.parquet"]}, {"trades": schema})
        return [(row["yes_price_e6"], row["size_e2"], row["taker_yes"]) for row in made.read_all().to_pylist()]


@pytest.mark.parametrize("order", list(permutations("abc")), ids="".join)
def test_the_same_copy_is_chosen_in_every_order_and_by_the_lake(order, recordings, production):
    execute(production, "TRUNCATE differing_trades")
    made, copies = recordings("trades"), VERSIONS | REST
    for gatherer in order:
        made.record(gatherer, [copies[gatherer]])
        made.catch_up()
    chosen = execute(production, "SELECT yes_price_e6, size_e2, taker_yes FROM trades")
    assert chosen == [(500_000, 100, True)] == rebuilt(copies.values())


def test_all_versions_are_kept_and_counted_once_each_time_they_are_met(recordings, production):
    execute(production, "TRUNCATE differing_trades")
    made, before = recordings("trades"), counted()
    for gatherer, row in VERSIONS.items():
        made.record(gatherer, [row])
    made.catch_up()
    assert counted() == before + 1
    versions = execute(production, "SELECT yes_price_e6, size_e2, taker_yes FROM differing_trades ORDER BY 1")
    assert versions == [(500_000, 100, True), (510_000, 999, False)]


def test_copies_that_agree_are_no_finding(recordings, production):
    execute(production, "TRUNCATE differing_trades")
    made, before = recordings("trades"), counted()
    made.record("a", [trade(510_000, 999, taker_yes=False)])
    made.catch_up()
    made.record("b", [trade(510_000, 999, taker_yes=False, from_rest=True, at_us=NOON_US + 7_000)])
    made.catch_up()
    assert (counted(), execute(production, "SELECT count(*) FROM differing_trades")) == (before, [(0,)])
