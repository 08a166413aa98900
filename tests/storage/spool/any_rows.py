"""Rows as a table may get them, fit for it or not."""

from hypothesis import strategies as st

from app.storage.tables import ColumnType

INTEGERS = st.integers(-(2**63), 2**63 - 1)
VALUES = {
    ColumnType.BOOLEAN: st.booleans(),
    ColumnType.TEXT: st.text(st.characters(exclude_categories=["Cs"])),
    ColumnType.JSON: st.binary(),
    ColumnType.BYTES: st.binary(),
    ColumnType.BIGINT_ARRAY: st.lists(INTEGERS, max_size=5),
    ColumnType.INTEGER_ARRAY: st.lists(INTEGERS, max_size=5),
}


def rows_of(table):
    return st.tuples(*(VALUES.get(column.type, INTEGERS) | st.none() for column in table.columns))
