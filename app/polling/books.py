"""What a batch of polled books becomes: full rows, confirmations, and what goes to quarantine."""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Raw

from app.normal.snapshots import confirmation_row, rest_snapshot_row
from app.normal.unfit import UnfitMessageError
from app.polling.seen_books import NO_PRICES, TICKER, YES_PRICES, SeenBooks
from app.polling.unfit import unfit_row
from app.store.tables import ORDERBOOK_SNAPSHOTS, Row


class PolledBooks(NamedTuple):
    rows: list[Row]  # all in full
    changed: list[Row]  # those of them that are not stored already
    unfit: list[Row]  # for quarantine
    missing: int  # markets that were asked for and not answered

    @property
    def empty(self) -> int:
        return sum(not row[YES_PRICES] and not row[NO_PRICES] for row in self.rows)


def polled_books(asked: Iterable[str], answered: Iterable[Raw], seen: SeenBooks, received_us: int) -> PolledBooks:
    awaited = set(asked)
    rows: list[Row] = []
    unfit: list[Row] = []
    for content in answered:
        try:
            row = rest_snapshot_row(content, received_us)
        except UnfitMessageError as error:
            unfit.append(unfit_row(ORDERBOOK_SNAPSHOTS, content, str(error), received_us))
            continue
        if row[TICKER] in awaited:
            awaited.remove(row[TICKER])
            rows.append(row)
        else:
            unfit.append(unfit_row(ORDERBOOK_SNAPSHOTS, content, "it was not asked for", received_us))
    changed = [row for row in rows if not seen.holds(row)]
    return PolledBooks(rows, changed, unfit, max(len(awaited) - len(unfit), 0))


def rows_to_store(polled: PolledBooks) -> list[Row]:
    changed = {row[TICKER] for row in polled.changed}
    return [row if row[TICKER] in changed else confirmation_row(row) for row in polled.rows]
