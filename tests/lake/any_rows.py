"""Rows that production takes, as strange as they may be."""

import json

from hypothesis import strategies as st

from app.storage.tables import ColumnType
from tests.storage.rows import NOON_US

BITS_64 = st.integers(-(2**63), 2**63 - 1)
PRICES = st.integers(0, 1_000_000)
# PostgreSQL's text has no NUL.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
JSON = st.dictionaries(TEXTS, st.none() | st.booleans() | st.integers(-(10**12), 10**12) | TEXTS, max_size=3)
SPECIAL = {
    "source": st.sampled_from(["ws", "rest"]),
    "price_e6": PRICES,
    "yes_price_e6": PRICES,
    "ticker": st.sampled_from(["KXA", "KXB-1", "kxb", "ÄÖ"]) | TEXTS,
}
BY_TYPE = {
    ColumnType.TIMESTAMP: st.integers(NOON_US - 1_000_000, NOON_US + 1_000_000),
    ColumnType.BIGINT: BITS_64,
    ColumnType.INTEGER: st.integers(-(2**31), 2**31 - 1),
    ColumnType.BOOLEAN: st.booleans(),
    ColumnType.TEXT: TEXTS,
    ColumnType.JSON: JSON.map(lambda payload: json.dumps(payload).encode()),
}


def rows_of(table):
    if table.name == "orderbook_snapshots":
        return snapshots()
    columns = [value_of(column) for column in table.columns]
    return st.lists(st.tuples(*columns), min_size=1, max_size=20)


def value_of(column):
    values = SPECIAL.get(column.name, BY_TYPE[column.type])
    return values | st.none() if column.nullable else values


def snapshots():
    side = st.lists(st.tuples(st.integers(-(2**31), 2**31 - 1), BITS_64), max_size=4)
    levels = st.tuples(side, side).map(
        lambda sides: [[level[place] for level in side] for side in sides for place in (0, 1)]
    )
    times, texts = BY_TYPE[ColumnType.TIMESTAMP], SPECIAL["ticker"]
    row = st.tuples(times, times, BITS_64, BITS_64, texts, SPECIAL["source"], levels | st.just([None] * 4))
    return st.lists(row.map(lambda row: (*row[:6], *row[6])), min_size=1, max_size=20)
