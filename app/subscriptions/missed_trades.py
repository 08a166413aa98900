from collections import deque

from app.polling.intervals import Interval
from app.subscriptions.journal import BEFORE_THE_FIRST, Gap, before_the_first

KEPT_GAPS = 64


class MissedTrades:
    """From the gaps of the connections that hear every trade: when none of them did.

    A gap that is not closed reaches at least up to the end of any that is. So what two of them share is told as soon as
    one of them is closed, and once more with the other. Before its first subscription a connection hears nothing.
    """

    def __init__(self, conns: tuple[int, ...], run_id: int) -> None:
        self._open = {conn: {BEFORE_THE_FIRST: before_the_first(run_id, conn, None)} for conn in conns}
        # What is forgotten is long over: no gap that is told of later reaches back so far.
        self._closed: dict[int, deque[Gap]] = {conn: deque(maxlen=KEPT_GAPS) for conn in conns}

    def see(self, gap: Gap) -> list[Interval]:
        """Intervals that have become certain."""
        if gap.ended_us is None:
            self._open[gap.conn][gap.number] = gap
            return []
        self._open[gap.conn].pop(gap.number, None)
        self._closed[gap.conn].append(gap)
        others = [
            other
            for conn in self._open
            if conn != gap.conn
            for other in (*self._open[conn].values(), *self._closed[conn])
        ]
        return [common for other in others if (common := _common(gap, other)) is not None]


def _common(gap: Gap, other: Gap) -> Interval | None:
    ended_us = gap.ended_us if other.ended_us is None else min(gap.ended_us or 0, other.ended_us)
    started_us = max(gap.started_us, other.started_us)
    return None if ended_us is None or ended_us < started_us else Interval(started_us, ended_us)
