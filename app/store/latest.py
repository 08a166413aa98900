from collections.abc import Sequence
from operator import itemgetter

from app.store.metadata_tables import MARKETS, NO_DETAILS, TOLD_COLUMNS
from app.store.pgcopy import UnfitValueError
from app.store.tables import UPDATED_AT, Row, Table

DETAILS = MARKETS.column_names.index("details")
TOLD = {MARKETS.column_names.index(name) for name in TOLD_COLUMNS}


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
    latest: dict[object, Row] = {}
    for row in rows:
        key = key_of(row)
        latest[key] = _completed(row, latest.get(key)) if table is MARKETS and row[DETAILS] == NO_DETAILS else row
    return list(latest.values())


def _completed(told: Row, known: Row | None) -> Row:
    """Do what complete_told_market() does, for a market whose row is in the same batch."""
    if known is None:
        return told
    return tuple(told[at] if at in TOLD else value for at, value in enumerate(known))
