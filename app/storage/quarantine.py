"""Keep rows that their table refuses, so that one bad row never blocks its batch.

In: rows with the reason for their refusal. Out: rows of the table `quarantine`, with column names, as JSON if they can
be encoded.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import msgspec
import psycopg2.extensions

from app.runtime.clock import now_us
from app.storage.tables import Row, Table

STATEMENT = """
    INSERT INTO quarantine (quarantined_at, table_name, reason, payload)
    VALUES ('epoch'::TIMESTAMPTZ + %s * INTERVAL '1 microsecond', %s, %s, %s)
"""


class RefusedRow(NamedTuple):
    """A refused row as a row of the table `quarantine`: its values with their columns' names, and the reason."""

    quarantined_us: int
    table_name: str
    reason: str
    payload: bytes


def refused(table: Table, row: Row, reason: str) -> RefusedRow:
    return RefusedRow(now_us(), table.name, reason, _payload(table, row))


def quarantine(cursor: psycopg2.extensions.cursor, rows: Sequence[RefusedRow]) -> None:
    """Insert refused rows in the transaction of their batch."""
    for row in rows:
        cursor.execute(STATEMENT, row)


def _payload(table: Table, row: Row) -> bytes:
    try:
        return msgspec.json.encode(dict(zip(table.column_names, row, strict=True)), enc_hook=repr)
    except ValueError:
        # Text that is not Unicode, or a row of another length. It must not block its batch, so its repr is kept.
        return repr(row).encode(errors="backslashreplace")


Item = TypeVar("Item")


def store_what_fits(
    items: Sequence[Item],
    store: Callable[[Sequence[Item]], int],
    reject: Callable[[Item, Exception], None],
    unfit: tuple[type[Exception], ...],
) -> int:
    """Store all items, together if they fit, otherwise in halves, so that only a bad item is rejected.

    Return the sum of what `store` returned.
    """
    if not items:
        return 0
    try:
        return store(items)
    except unfit as error:
        if len(items) == 1:
            reject(items[0], error)
            return 0
    middle = len(items) // 2
    return store_what_fits(items[:middle], store, reject, unfit) + store_what_fits(items[middle:], store, reject, unfit)
