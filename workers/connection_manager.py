import queue
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import count

from app import logs
from app.clock import now_us
from app.metrics import connections as metrics
from app.recording import TRADE_CONNECTIONS
from app.settings import Settings
from app.subscriptions.books import BookSubscription
from app.subscriptions.journal import Gap, Journal
from app.subscriptions.market_change import MarketChange, MarketChanges
from app.subscriptions.missed_trades import MissedTrades
from app.subscriptions.placement import Placement
from app.subscriptions.roles import role_of
from app.subscriptions.status import ConnectionStatus, SubscriptionStatus
from app.subscriptions.whole_exchange import WholeExchange
from workers.commander import Commander
from workers.connection import Connection, Surroundings

log = logs.get(__name__)

CHANGES_AT_ONCE = 1_000
TICK_SECONDS = 1.0


class ConnectionManager:
    """Gives each market that is to be recorded to one connection, and to another when that is down for too long."""

    def __init__(
        self,
        settings: Settings,
        run_id: int,
        around: Surroundings,
        changes: MarketChanges,
        on_trades_missed: Callable[[int, int], None],
    ) -> None:
        self._settings = settings
        self._run_id = run_id
        self._around = around
        self._changes = changes
        self._on_trades_missed = on_trades_missed
        self._missed_trades = MissedTrades(TRADE_CONNECTIONS, run_id)
        self._gap_numbers = count(1)
        self._books: dict[int, BookSubscription] = {}
        self._connections = {conn: self._connection(conn) for conn in range(1, settings.ws_connections + 1)}
        self._placement = Placement(self._books)
        self._next_look_seconds = 0.0
        self._was_ready = False

    def start(self, spawn: Callable[[Callable[[], None]], None]) -> None:
        needed = self._settings.ws_connections * self._settings.gatherers
        if needed > self._settings.account_connections:
            log.warning(
                "all gatherers together need more sockets than the account is granted",
                needed=needed,
                granted=self._settings.account_connections,
                fix="lower KALSHI_WS_CONNECTIONS, or raise KALSHI_ACCOUNT_CONNECTIONS to what the exchange grants",
            )
        for connection in self._connections.values():
            spawn(connection.run)
            spawn(Commander(connection, self._settings.stale_seconds, self._around.stopping).run)
        spawn(self.run)

    def run(self) -> None:
        while not self._around.stopping.is_set():
            self.step()

    def step(self) -> None:
        """Places what has changed, and waits a moment for that."""
        changes = list(self._next_changes())
        wishes = {change.ticker: change.is_to_be_recorded for change in changes}
        moment_us = now_us()
        self._want(self._placement.place(ticker for ticker, is_wanted in wishes.items() if is_wanted))
        self._unwant([ticker for ticker, is_wanted in wishes.items() if not is_wanted], moment_us)
        self._ask_before_closing(change.ticker for change in changes if change.is_closing)
        if time.monotonic() >= self._next_look_seconds:
            self._next_look_seconds = time.monotonic() + TICK_SECONDS
            self._look_after(moment_us)

    def connections(self) -> list[ConnectionStatus]:
        return [connection.status() for connection in self._connections.values()]

    def subscriptions(self) -> list[SubscriptionStatus]:
        return [
            SubscriptionStatus(
                conn=conn,
                channels=list(connection.role.channels),
                sids=connection.subscriber.sids,
                wanted=connection.subscriber.wanted,
                heard=connection.subscriber.heard,
            )
            for conn, connection in self._connections.items()
        ]

    def connection_of(self, ticker: str) -> int | None:
        """Which one listens to its order book."""
        return self._placement.home_of(ticker)

    def in_hand_since_us(self) -> int | None:
        """Whatever any socket was sent before is in the sink."""
        moments_us = (connection.in_hand_since_us() for connection in self._connections.values())
        return min((moment_us for moment_us in moments_us if moment_us is not None), default=None)

    def why_not_ready(self) -> str | None:
        is_open = [connection.socket is not None for connection in self._connections.values()]
        if 3 * sum(is_open) < 2 * len(is_open):
            return f"only {sum(is_open)} of {len(is_open)} sockets are open"
        wanted, heard = len(self._placement), self._heard()
        # Some may be unknown to the exchange, and some have always just come.
        is_ready = self._was_ready or 100 * heard >= 99 * wanted
        self._was_ready = is_ready and wanted > 0
        return None if is_ready else f"{heard} of {wanted} order books are listened to"

    def _connection(self, conn: int) -> Connection:
        is_of_trades = conn in TRADE_CONNECTIONS
        journal = Journal(self._run_id, conn, self._gap_numbers, self._see_trade_gap if is_of_trades else _nothing)
        role = role_of(conn)
        if not role.is_of_books:
            return Connection(WholeExchange(journal, role), journal, self._around)
        self._books[conn] = BookSubscription(journal, self._settings.snapshot_refresh_seconds)
        return Connection(self._books[conn], journal, self._around)

    def _see_trade_gap(self, gap: Gap) -> None:
        for missed in self._missed_trades.see(gap):
            self._on_trades_missed(*missed)

    def _next_changes(self) -> Iterator[MarketChange]:
        try:
            yield self._changes.get(timeout=TICK_SECONDS)
            for _ in range(CHANGES_AT_ONCE):
                yield self._changes.get(block=False)
        except queue.Empty:
            return

    def _want(self, placed: dict[int, list[str]]) -> None:
        for conn, tickers in placed.items():
            self._books[conn].want(tickers)
            self._connections[conn].news.set()

    def _unwant(self, tickers: list[str], moment_us: int) -> None:
        leaving: dict[int, list[str]] = {}
        for ticker in tickers:
            conn = self._placement.remove(ticker)
            if conn is not None:
                leaving.setdefault(conn, []).append(ticker)
        for conn, gone in leaving.items():
            self._books[conn].unwant(gone, moment_us)
            self._connections[conn].news.set()

    def _ask_before_closing(self, tickers: Iterable[str]) -> None:
        for ticker in tickers:
            conn = self._placement.home_of(ticker)
            if conn is not None:
                self._books[conn].ask_before_closing(ticker)
                self._connections[conn].news.set()

    def _look_after(self, moment_us: int) -> None:
        for conn, subscription in self._books.items():
            if turned_away := subscription.take_turned_away():
                for ticker in turned_away:
                    self._placement.remove(ticker)
                self._placement.is_full(conn)
                self._move(turned_away, conn, "it has no room for them")
        self._rehome(moment_us)
        self._want(self._placement.place_homeless())
        metrics.MARKETS_WANTED.set(len(self._placement))
        metrics.MARKETS_HEARD.set(self._heard())
        metrics.MARKETS_TURNED_AWAY.set(self._placement.homeless)

    def _rehome(self, moment_us: int) -> None:
        down = [conn for conn in self._books if self._is_down(conn)]
        for conn in self._books.keys() - set(down):
            self._placement.count_on(conn)
        # When most are down it is the exchange, or our own line: moving markets to the few others helps nobody.
        if 2 * len(down) > len(self._books):
            return
        for conn in down:
            self._placement.give_up(conn)
            if tickers := self._books[conn].tickers():
                self._unwant(tickers, moment_us)
                self._move(tickers, conn, "it is down")

    def _move(self, tickers: list[str], conn: int, reason: str) -> None:
        log.warning("markets move to other sockets", markets=len(tickers), conn=conn, reason=reason)
        metrics.MARKETS_MOVED.inc(len(tickers))
        self._want(self._placement.place(tickers))

    def _is_down(self, conn: int) -> bool:
        since_seconds = self._connections[conn].down_since_seconds
        return since_seconds is not None and time.monotonic() - since_seconds > self._settings.rehome_seconds

    def _heard(self) -> int:
        return sum(subscription.heard for subscription in self._books.values())


def _nothing(_gap: Gap) -> None:
    """Books and tickers cannot be fetched later."""
