"""Changes of markets, events and series: each state in the lake beside the one before it of the same name.

A day's file has the state at the day's end, so what changed there and back within a day is no change here. Values are
text, since one column has those of all fields: times in ISO 8601, prices in dollars.
"""

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_data.files import LakeFiles
from kalshi_data.layout import IDENTITY
from kalshi_data.records import in_units
from kalshi_data.schema import TEXT, TIME, UTC_TIME, instant, schema_of
from kalshi_data.times import ALWAYS, EARLIEST, Interval

SEEN_AT = "seen_at"
# They say when something changed, and not what.
STAMPS = frozenset({"updated_at", "updated_time", "last_updated_ts"})


def compared_fields(table: str) -> list[pa.Field]:
    """Return the fields of a table whose changes are listed."""
    return [field for field in schema_of(table) if field.name not in STAMPS | {IDENTITY[table][0]}]


def changes_schema(table: str) -> pa.Schema:
    columns = (
        (IDENTITY[table][0], TEXT, "whose field changed", ""),
        ("field", TEXT, "which field changed", ""),
        ("before", TEXT, "its value until then; null: none", ""),
        ("after", TEXT, "its value from then on; null: none", ""),
        (SEEN_AT, TIME, "when the last change of that day was recorded", UTC_TIME),
    )
    return pa.schema(
        [pa.field(name, kind, metadata={"description": text, "unit": unit}) for name, kind, text, unit in columns]
    )


def reference_changes(
    files: LakeFiles, table: str, wanted: pc.Expression | None = None, period: Interval = ALWAYS
) -> pa.Table:
    """Return the changes that were seen in the period, of what meets the condition."""
    key = IDENTITY[table][0]
    names = [key, *(field.name for field in compared_fields(table)), "updated_at", "date"]
    # What was before may lie long before the period.
    states = files.rows(table, (EARLIEST, period[1]), names, wanted).sort_by(
        [(key, "ascending"), ("date", "ascending")]
    )
    states = in_units(states).combine_chunks()
    before, after = states.slice(0, max(states.num_rows - 1, 0)), states.slice(1)
    seen = after["updated_at"]
    is_of_period = pc.and_(pc.greater_equal(seen, instant(period[0])), pc.less(seen, instant(period[1])))
    is_next = pc.and_(pc.equal(before[key], after[key]), is_of_period)
    found = [
        _of_field(before, after, key, name, is_next)
        for name in before.column_names
        if name not in {key, *STAMPS, "date"}
    ]
    schema = changes_schema(table)
    changes = pa.concat_tables(found).cast(schema)
    return changes.sort_by([(name, "ascending") for name in (SEEN_AT, key, "field")])


def _of_field(before: pa.Table, after: pa.Table, key: str, name: str, is_next: pa.ChunkedArray) -> pa.Table:
    one, other = _texts(before[name]), _texts(after[name])
    is_same = pc.or_(pc.fill_null(pc.equal(one, other), False), pc.and_(pc.is_null(one), pc.is_null(other)))
    columns = {key: after[key], "field": pa.array([name] * len(one), TEXT), "before": one, "after": other}
    return pa.table(columns | {SEEN_AT: after["updated_at"]}).filter(pc.and_(is_next, pc.invert(is_same)))


def _texts(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_timestamp(values.type):
        return values.cast(TEXT)
    texts = pc.replace_substring(values.cast(pa.timestamp("us")).cast(TEXT), " ", "T")
    return pc.binary_join_element_wise(texts, "Z", "")
