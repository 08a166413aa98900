"""What gatherers heard, by their own journals."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from app.coverage.intervals import END_US, Interval, Intervals, difference, intersection, union

BOOKS = "orderbook_delta"
TRADES = "trade"
TICKERS = "ticker"
LIFECYCLE = "market_lifecycle_v2"
COMBO_LIFECYCLE = "multivariate_market_lifecycle"
# One subscription to these hears all markets.
EXCHANGE_CHANNELS = (TRADES, TICKERS, LIFECYCLE)
WHOLE_EXCHANGE = ""


class Run(NamedTuple):
    gatherer: str
    run_id: int


class Socket(NamedTuple):
    run: Run
    conn: int


class Subscription(NamedTuple):
    socket: Socket
    started_us: int
    ended_us: int | None  # None: it lasts as long as its run


class Gap(NamedTuple):
    socket: Socket
    channel: str | None  # None: of all of the socket's
    started_us: int
    ended_us: int | None  # None: until further notice


class Loss(NamedTuple):
    """What a gatherer heard, and nobody has any more, or cannot be read."""

    gatherer: str
    channel: str
    started_us: int
    ended_us: int
    ticker: str = WHOLE_EXCHANGE  # or of this market alone


class Hearing:
    """When which socket heard all that it was subscribed to."""

    def __init__(self, runs: Mapping[Run, Interval], gaps: Iterable[Gap], losses: Iterable[Loss] = ()) -> None:
        self._runs = runs
        self._losses = list(losses)
        self.marked_tickers = {loss.ticker for loss in self._losses} - {
            WHOLE_EXCHANGE
        }  # which lack more than their sockets
        self._gaps: dict[Socket, list[Gap]] = defaultdict(list)
        for gap in gaps:
            self._gaps[gap.socket].append(gap)
        self._heard: dict[tuple[Socket, str], Intervals] = {}

    def of_socket(self, socket: Socket, channel: str) -> Intervals:
        known = self._heard.get((socket, channel))
        if known is None:
            known = self._heard[socket, channel] = self._work_out(socket, channel)
        return known

    def of_subscription(self, subscription: Subscription, channel: str, ticker: str = WHOLE_EXCHANGE) -> Intervals:
        lasts = union([(subscription.started_us, _end(subscription.ended_us))])
        heard = intersection(self.of_socket(subscription.socket, channel), lasts)
        if ticker not in self.marked_tickers:
            return heard
        return difference(heard, self._lost(subscription.socket.run.gatherer, channel, ticker))

    def of(self, subscriptions: Iterable[Subscription], channel: str, ticker: str = WHOLE_EXCHANGE) -> Intervals:
        """When at least one of them was heard."""
        return union(
            interval
            for subscription in subscriptions
            for interval in self.of_subscription(subscription, channel, ticker)
        )

    def _work_out(self, socket: Socket, channel: str) -> Intervals:
        if socket.run not in self._runs:
            return ()
        unheard = [
            (gap.started_us, _end(gap.ended_us))
            for gap in self._gaps.get(socket, ())
            if gap.channel is None or gap.channel == channel
        ]
        lost = self._lost(socket.run.gatherer, channel, WHOLE_EXCHANGE)
        return difference(union([self._runs[socket.run]]), union([*unheard, *lost]))

    def _lost(self, gatherer: str, channel: str, ticker: str) -> Intervals:
        about = (gatherer, channel, ticker)
        return union(
            (loss.started_us, loss.ended_us)
            for loss in self._losses
            if (loss.gatherer, loss.channel, loss.ticker) == about
        )


def _end(ended_us: int | None) -> int:
    return END_US if ended_us is None else ended_us
