"""The connection manager: all connections of a gatherer, and which of them receives which market's order book.

In: changes of the registry and the state of each connection. Out: wanted markets per connection.
app/subscriptions/placement.py decides where a market goes; this worker notices full, failed and recovered connections.
"""

import queue
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import count

from app.metrics import gatherer as metrics
from app.ops.live import LiveConnection, LiveSubscription
from app.runtime import logs
from app.runtime.clock import now_us, steady_seconds
from app.runtime.health import Latch
from app.settings import Settings
from app.status.progress import Progress
from app.storage.tables import TRADE_CONNECTIONS
from app.subscriptions.book_subscription import BookSubscription
from app.subscriptions.channel_subscription import ChannelSubscription
from app.subscriptions.dial_queue import sockets_of
from app.subscriptions.interface import AnyMarketChange, AnyMarketChanges
from app.subscriptions.journal import Gap, Journal, MissedTrades
from app.subscriptions.placement import Placement
from app.subscriptions.roles import role_of
from app.subscriptions.router import RouterContext
from workers.gatherer.connection import CommandSender, Connection, ConnectionContext

log = logs.get(__name__)

CHANGES_AT_ONCE = 1_000
TICK_SECONDS = 1.0
# A connection counts as full for this long; by then the exchange may have room on its socket again.
FULL_SECONDS = 300.0
CLOCK_PERIOD_SECONDS = 60.0


class ConnectionManager:
    """Assign each market to be recorded to one connection, and reassign it if that one is down for too long."""

    def __init__(
        self,
        settings: Settings,
        run_id: int,
        context: ConnectionContext,
        changes: AnyMarketChanges,
        on_trades_missed: Callable[[int, int], None],
        latch: Latch | None = None,
    ) -> None:
        self._settings = settings
        self._run_id = run_id
        self._context = context
        self._changes = changes
        self._on_trades_missed = on_trades_missed
        self._missed_trades = MissedTrades(TRADE_CONNECTIONS, run_id)
        # Shared by all connections: the journal identifies a gap by its run and number.
        self._gap_numbers = count(1)
        self._router_context = RouterContext()
        self._clock_period_began_seconds = steady_seconds()
        self._books: dict[int, BookSubscription] = {}
        self._channel_subscriptions: list[ChannelSubscription] = []
        self._connections = {conn: self._connection(conn) for conn in range(1, sockets_of(settings) + 1)}
        self._placement = Placement(self._books, settings.gatherer)
        self._full_since_seconds: dict[int, float] = {}
        self._next_check_seconds = 0.0
        self._progress = Progress()
        self._latch = latch or Latch()

    def start(self, spawn: Callable[[Callable[[], None]], object]) -> None:
        for connection in self._connections.values():
            spawn(connection.run)
            spawn(CommandSender(connection, self._settings.stale_seconds, self._context.stopping).run)
        spawn(self.run)

    def run(self) -> None:
        # A loop of its own: each step itself waits for changes.
        while not self._context.stopping.is_set():
            self.step()

    def step(self) -> None:
        """Wait briefly for changes and apply them; once per second, check the connections."""
        changes = list(self._next_changes())
        wishes = {change.ticker: change.is_to_be_recorded for change in changes}
        moment_us = now_us()
        self._want(self._placement.place(ticker for ticker, is_wanted in wishes.items() if is_wanted))
        self._unwant([ticker for ticker, is_wanted in wishes.items() if not is_wanted], moment_us)
        self._request_before_closing(change.ticker for change in changes if change.is_closing)
        if time.monotonic() >= self._next_check_seconds:
            self._next_check_seconds = time.monotonic() + TICK_SECONDS
            self._check_connections(moment_us)
        if steady_seconds() - self._clock_period_began_seconds >= CLOCK_PERIOD_SECONDS:
            self._clock_period_began_seconds = steady_seconds()
            self._router_context.clock.start_period()

    def connections(self) -> list[LiveConnection]:
        return [connection.status() for connection in self._connections.values()]

    def subscriptions(self) -> list[LiveSubscription]:
        return [found for connection in self._connections.values() for found in connection.subscriptions()]

    def connection_of(self, ticker: str) -> int | None:
        """Return the connection that receives the market's order book, or None."""
        return self._placement.connection_of(ticker)

    def in_hand_since_us(self) -> int | None:
        """Return the time before which everything sent to any socket is in the sink; None if no socket limits it."""
        moments_us = (connection.in_hand_since_us() for connection in self._connections.values())
        return min((moment_us for moment_us in moments_us if moment_us is not None), default=None)

    def why_not_ready(self) -> str | None:
        reason = self._why_not_receiving()
        # The latch applies only once markets are known: with none wanted, the absence of a reason proves nothing.
        return self._latch(reason) if len(self._placement) else reason

    def _why_not_receiving(self) -> str | None:
        reasons = [f"no connection receives {channel}" for channel, conns in self._channels().items() if not conns]
        wanted, received = len(self._placement), self._received()
        # Up to 1 % may be missing: some markets are unknown to the exchange, and some are always just being subscribed.
        if 100 * received < 99 * wanted:
            self._progress.note(received, steady_seconds())
            pace = self._progress.words(wanted - received)
            reasons.append(f"{received:,} of {wanted:,} order books are received{pace}")
        sockets = [connection.socket is not None for connection in self._connections.values()]
        return f"{', '.join(reasons)}; {sum(sockets)} of {len(sockets)} sockets are open" if reasons else None

    def _channels(self) -> dict[str, int]:
        """Return how many connections receive each channel of the whole exchange."""
        received: dict[str, int] = {}
        for subscriber in self._channel_subscriptions:
            for channel, is_received in subscriber.channels().items():
                received[channel] = received.get(channel, 0) + is_received
        return received

    def _connection(self, conn: int) -> Connection:
        is_of_trades = conn in TRADE_CONNECTIONS
        journal = Journal(self._run_id, conn, self._gap_numbers, self._note_trade_gap if is_of_trades else _nothing)
        role = role_of(conn)
        if not role.is_of_books:
            self._channel_subscriptions.append(ChannelSubscription(journal, role))
            return Connection(self._channel_subscriptions[-1], journal, self._context, self._router_context)
        self._books[conn] = BookSubscription(journal, self._settings.snapshot_refresh_seconds)
        return Connection(self._books[conn], journal, self._context, self._router_context)

    def _note_trade_gap(self, gap: Gap) -> None:
        for missed in self._missed_trades.add(gap):
            self._on_trades_missed(*missed)

    def _next_changes(self) -> Iterator[AnyMarketChange]:
        """Yield the next change, waiting up to a tick for it, and all that are queued after it."""
        try:
            yield self._changes.get(timeout=TICK_SECONDS)
            for _ in range(CHANGES_AT_ONCE):
                yield self._changes.get(block=False)
        except queue.Empty:
            return

    def _want(self, placed: dict[int, list[str]]) -> None:
        """Make the connections want these markets, and wake their senders."""
        for conn, tickers in placed.items():
            self._books[conn].want(tickers)
            self._connections[conn].commands_due.set()

    def _unwant(self, tickers: list[str], moment_us: int) -> None:
        """Remove the markets from their connections, and wake the senders."""
        leaving: dict[int, list[str]] = {}
        for ticker in tickers:
            conn = self._placement.remove(ticker)
            if conn is not None:
                leaving.setdefault(conn, []).append(ticker)
        for conn, gone in leaving.items():
            self._books[conn].unwant(gone, moment_us)
            self._connections[conn].commands_due.set()

    def _request_before_closing(self, tickers: Iterable[str]) -> None:
        """Request a last snapshot of these markets: it proves the changes since the one before."""
        for ticker in tickers:
            conn = self._placement.connection_of(ticker)
            if conn is not None:
                self._books[conn].request_before_closing(ticker)
                self._connections[conn].commands_due.set()

    def _check_connections(self, moment_us: int) -> None:
        """Move markets off full and failed connections, place the unplaced ones, and update the metrics."""
        for conn, subscription in self._books.items():
            if turned_away := subscription.take_turned_away():
                for ticker in turned_away:
                    self._placement.remove(ticker)
                self._placement.mark_full(conn)
                self._full_since_seconds[conn] = time.monotonic()
                self._move(turned_away, conn, "it has no room for them")
        self._retry_full()
        self._move_from_failed(moment_us)
        self._want(self._placement.place_unplaced())
        for channel, conns in self._channels().items():
            metrics.CHANNEL_CONNECTIONS.labels(channel).set(conns)
        metrics.MARKETS_WANTED.set(len(self._placement))
        metrics.MARKETS_HEARD.set(self._received())
        metrics.MARKETS_TURNED_AWAY.set(self._placement.unplaced)

    def _move_from_failed(self, moment_us: int) -> None:
        """Move the markets of connections that are down to others."""
        down = [conn for conn in self._books if self._is_down(conn)]
        for conn in self._books.keys() - set(down):
            self._placement.mark_usable(conn)
        # If most are down, the cause is the exchange or our own line, and moving markets to the few others does not
        # help. If the exchange answers but refuses new sockets, the open ones have room for all markets.
        most = len(self._books) - 1 if self._context.admission.is_refusing else len(self._books) // 2
        if len(down) > most:
            return
        for conn in down:
            self._placement.mark_unusable(conn)
            if tickers := self._books[conn].tickers():
                self._unwant(tickers, moment_us)
                self._move(tickers, conn, "it is down")

    def _retry_full(self) -> None:
        """Let connections that were full for long enough receive markets again."""
        for conn, since_seconds in list(self._full_since_seconds.items()):
            if time.monotonic() - since_seconds > FULL_SECONDS:
                del self._full_since_seconds[conn]
                self._placement.mark_not_full(conn)

    def _move(self, tickers: list[str], conn: int, reason: str) -> None:
        log.warning("markets moved to other sockets", markets=len(tickers), conn=conn, reason=reason)
        metrics.MARKETS_MOVED.inc(len(tickers))
        self._want(self._placement.place(tickers))

    def _is_down(self, conn: int) -> bool:
        since_seconds = self._connections[conn].down_since_seconds
        return since_seconds is not None and time.monotonic() - since_seconds > self._settings.rehome_seconds

    def _received(self) -> int:
        return sum(subscription.received for subscription in self._books.values())


def _nothing(_gap: Gap) -> None:
    """Ignore the gap: books and tickers cannot be fetched later."""
