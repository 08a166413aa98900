"""Which rows lie in a hole of the record: others of the same time may be missing."""

from bisect import bisect_left
from collections import defaultdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_data.coverage import BOOKS
from kalshi_data.times import us_of

DESCRIPTION = "whether the time lies in a hole of the record, where other rows may be missing"
FIELD = pa.field("in_hole", pa.bool_(), nullable=False, metadata={"description": DESCRIPTION})


def with_marks(rows: pa.Table, channel: str, judgements: list[dict[str, Any]]) -> pa.Table:
    """Return the rows of a channel with the column in_hole, by judgements of that channel."""
    # One outage is a hole of many markets.
    holes: dict[tuple[int, int], list[str]] = defaultdict(list)
    for row in judgements:
        for since, until in zip(row["holes_from"], row["holes_until"], strict=True):
            holes[us_of(since), us_of(until)].append(row["ticker"])
    if not holes or not rows.num_rows:
        return rows.append_column(FIELD, pa.repeat(pa.scalar(False), rows.num_rows))
    times = rows["exchange_ts"].cast(pa.int64()).combine_chunks()
    order = pc.sort_indices(times)
    ordered = times.take(order)
    ordered_us = memoryview(ordered.buffers()[1]).cast("q")[ordered.offset : ordered.offset + len(ordered)]
    marks = bytearray(rows.num_rows)
    for (since_us, until_us), names in holes.items():
        first, end = bisect_left(ordered_us, since_us), bisect_left(ordered_us, until_us)
        numbers = order.slice(first, end - first)
        if channel == BOOKS:
            numbers = numbers.filter(pc.is_in(rows["ticker"].take(numbers), pa.array(names)).combine_chunks())
        for number in numbers.to_pylist():
            marks[number] = 1
    is_marked = pa.Array.from_buffers(pa.uint8(), rows.num_rows, [None, pa.py_buffer(marks)])
    return rows.append_column(FIELD, pc.equal(is_marked, 1))
