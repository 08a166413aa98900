import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.runtime.threads import inline
from app.storage.binary_copy import UnfitValueError, copy_bytes
from app.storage.tables import GATHERER_TABLES, ORDERBOOK_DELTAS, ColumnType
from app.storage.writer import CopyWriter
from tests.storage import rows
from tests.storage.reading import rows_of


def integers(bits):
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


VALUES = {
    ColumnType.TIMESTAMP: st.integers(rows.NOON_US, rows.NOON_US + 3_600_000_000 - 1),
    ColumnType.BIGINT: integers(64),
    ColumnType.INTEGER: integers(32),
    ColumnType.SMALLINT: integers(16),
    ColumnType.BOOLEAN: st.booleans(),
    ColumnType.TEXT: st.text(
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=50
    ),
    ColumnType.JSON: st.dictionaries(st.sampled_from("abc"), st.integers()).map(
        lambda value: json.dumps(value).encode()
    ),
}
PRICES_E6 = st.integers(0, 1_000_000)


def values_of(column):
    if column.name == "source":
        return st.sampled_from(["ws", "rest"])
    values = PRICES_E6 if column.name.endswith("price_e6") else VALUES[column.type]
    return st.none() | values if column.nullable else values


@st.composite
def rows_for(draw, table):
    levels = draw(levels_or_none())
    return tuple(levels[column.name] if column.name in levels else draw(values_of(column)) for column in table.columns)


@st.composite
def levels_or_none(draw):
    """The four arrays of a book, of which those of one side have one length; or none of them."""
    if draw(st.booleans()):
        return dict.fromkeys(("yes_prices_e6", "yes_sizes_e2", "no_prices_e6", "no_sizes_e2"))
    levels = {}
    for side in ("yes", "no"):
        drawn = draw(st.lists(st.tuples(integers(32), integers(64)), max_size=5))
        levels[f"{side}_prices_e6"] = [price for price, _ in drawn]
        levels[f"{side}_sizes_e2"] = [size for _, size in drawn]
    return levels


def comparable(table, row):
    return repr(
        [
            json.dumps(json.loads(value), sort_keys=True) if column.type is ColumnType.JSON else value
            for column, value in zip(table.columns, row, strict=True)
        ]
    )


@pytest.mark.parametrize("table", GATHERER_TABLES, ids=lambda table: table.name)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_value_comes_back_as_it_was(timeseries, connection, table, data):
    written = data.draw(st.lists(rows_for(table), min_size=1, max_size=20))
    writer = CopyWriter(table, timeseries, inline)
    result = writer.write(written)
    writer.close()
    found = rows_of(connection, table)
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {table.name}")
    connection.commit()
    assert result == (len(found), len(written) - len(found), 0)
    assert {comparable(table, row) for row in found} <= {comparable(table, row) for row in written}


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, None),
        (2, 2**63),
        (3, "12"),
        (4, 2**31),
        (4, 0.5),
        (6, None),
        (9, None),
        (9, b"bytes"),
        (9, "\ud800"),
        (10, 40_000),
    ],
)
def test_a_value_that_does_not_fit_its_column_is_an_error(position, value):
    row = list(rows.delta())
    row[position] = value
    with pytest.raises(UnfitValueError):
        copy_bytes(ORDERBOOK_DELTAS, [tuple(row)])


def test_a_row_of_another_length_is_an_error():
    with pytest.raises(UnfitValueError, match="unpack"):
        copy_bytes(ORDERBOOK_DELTAS, [rows.delta()[:-1]])
