from collections.abc import Sequence
from operator import itemgetter

from app.store.pgcopy import UnfitValueError
from app.store.tables import UPDATED_AT, Row, Table


def latest_of_each(table: Table, rows: Sequence[Row]) -> Sequence[Row]:
    """Of rows with the same key the last, or the newest where rows say how new they are."""
    if not table.key:
        return rows
    try:
        return _latest(table, rows)
    except (IndexError, TypeError) as error:
        raise UnfitValueError(f"a row is too short, or its key is none: {error}") from error


def _latest(table: Table, rows: Sequence[Row]) -> list[Row]:
    key_of = itemgetter(*map(table.column_names.index, table.key))
    if UPDATED_AT in table.column_names:
        # Sorting is stable: of equally new ones the last stays the last.
        rows = sorted(rows, key=itemgetter(table.column_names.index(UPDATED_AT)))
    return list({key_of(row): row for row in rows}.values())
