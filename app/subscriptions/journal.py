from collections.abc import Callable, Iterator
from typing import NamedTuple

from app.metrics import connections as metrics
from app.store.journal_tables import GAPS, SUBSCRIPTIONS
from app.store.tables import Row, Table
from app.subscriptions.roles import role_of

WHOLE_EXCHANGE = ""
ALL_SUBSCRIPTIONS = -1
ALL_MARKETS = -1
LISTED_US = 12_000_000  # by then the list was asked for: answers that take longer are not waited for
BEFORE_THE_FIRST = 0  # no gap that is stored: the time of a run in which a channel is not yet subscribed to


class Gap(NamedTuple):
    """A row of GAPS."""

    run_id: int
    number: int
    conn: int
    started_us: int
    ended_us: int | None
    sid: int
    markets: int
    missing: int | None
    channel: str
    cause: str


class Listening(NamedTuple):
    """A row of SUBSCRIPTIONS."""

    run_id: int
    started_us: int
    ended_us: int | None
    conn: int
    channel: str
    ticker: str


def before_the_first(run_id: int, conn: int, ended_us: int | None) -> Gap:
    return Gap(
        run_id, BEFORE_THE_FIRST, conn, run_id, ended_us, ALL_SUBSCRIPTIONS, ALL_MARKETS, None, "", "unsubscribed"
    )


class Journal:
    """What one connection has to write about its own recording, until that is taken for being stored."""

    def __init__(
        self, run_id: int, conn: int, numbers: Iterator[int], on_gap: Callable[[Gap], None] = lambda _: None
    ) -> None:
        self.conn = conn
        self._run_id = run_id
        self._role = role_of(conn)
        self._numbers = numbers
        self._on_gap = on_gap
        self.lag_us = 0  # of what is listened to up to now, so much is still under way
        self._rows: dict[str, list[Row]] = {GAPS.name: [], SUBSCRIPTIONS.name: []}

    def open_gap(
        self, channel: str, cause: str, started_us: int, *, sid: int, markets: int, missing: int | None = None
    ) -> Gap:
        number = next(self._numbers)
        gap = Gap(self._run_id, number, self.conn, started_us, None, sid, markets, missing, channel, cause)
        metrics.GAPS.labels(self._role.name, cause).inc()
        self._write(gap)
        return gap

    def close_gap(self, gap: Gap, ended_us: int) -> None:
        # Clocks are set back now and then; what has ended before it began is no interval.
        self._write(gap._replace(ended_us=max(ended_us, gap.started_us)))

    def began(self, channel: str, ticker: str, started_us: int) -> None:
        self._listen(channel, ticker, started_us, None)
        if ticker == WHOLE_EXCHANGE:
            self._on_gap(before_the_first(self._run_id, self.conn, started_us))

    def ended(self, channel: str, ticker: str, started_us: int, ended_us: int) -> None:
        self._listen(channel, ticker, started_us, max(started_us, ended_us - self.lag_us))

    def listed_us(self, received_us: int) -> int:
        """Up to when a subscription lost nothing that is in the exchange's list, of which the answer came by then.

        One that overflowed or ended is not in it. On a quiet channel this is what tells silence from a loss.
        """
        return received_us - LISTED_US - self.lag_us

    def take(self) -> list[tuple[Table, list[Row]]]:
        taken = [(table, self._rows[table.name]) for table in (SUBSCRIPTIONS, GAPS) if self._rows[table.name]]
        for table, _ in taken:
            self._rows[table.name] = []
        return taken

    def _write(self, gap: Gap) -> None:
        self._rows[GAPS.name].append(gap)
        self._on_gap(gap)

    def _listen(self, channel: str, ticker: str, started_us: int, ended_us: int | None) -> None:
        row = Listening(self._run_id, started_us, ended_us, self.conn, channel, ticker)
        self._rows[SUBSCRIPTIONS.name].append(row)
