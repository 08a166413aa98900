"""Decide the next commands for the order books of one connection: join, leave, refresh, and recover after a loss.

In: the market states, losses, and the exchange's answers. Out: encoded commands. After a loss, every book of the
subscription needs a new snapshot before it can be trusted.
"""

from collections.abc import Iterable
from itertools import islice, takewhile

from app.kalshi.messages import Error
from app.metrics import gatherer as metrics
from app.runtime import logs
from app.runtime.backoff import SECOND_US
from app.subscriptions.book_markets import SILENCE_US, BookMarkets
from app.subscriptions.commands import JOINS, Command, CommandKind, Commands, command_backoff
from app.subscriptions.journal import Gap, Journal
from app.subscriptions.roles import BOOK_CHANNEL

BOOKS_PER_COMMAND = 10
URGENT_BOOKS = 100


class Refresh:
    """Chooses the books to request again, each about once per interval, spread evenly over it."""

    def __init__(self, interval_seconds: int) -> None:
        self._interval_us = interval_seconds * SECOND_US
        self._next_us = 0
        self._round: list[str] = []
        self._urgent: dict[str, None] = {}

    def start(self, now_us: int, place: int) -> None:
        """Start the cycle, at a time that depends on the socket's number, so that sockets do not ask together."""
        self._next_us = now_us + self._interval_us * (1 + place % 10) // 100
        self._round = []
        self._urgent.clear()

    def request_now(self, tickers: Iterable[str]) -> None:
        """Make these books due immediately."""
        self._urgent.update(dict.fromkeys(tickers))

    def due(self, tickers: Iterable[str], count: int, now_us: int) -> list[str]:
        """Return the books that are due, at most one command's worth. Some may have left in the meantime."""
        if self._urgent:
            return [self._urgent.popitem()[0] for _ in range(min(len(self._urgent), URGENT_BOOKS))]
        if now_us < self._next_us or not count:
            return []
        if not self._round:
            self._round = list(tickers)
        taken, self._round = self._round[-BOOKS_PER_COMMAND:], self._round[:-BOOKS_PER_COMMAND]
        self._next_us = now_us + self._interval_us * len(taken) // count
        return taken


def first(queue: dict[str, None], count: int) -> list[str]:
    """Remove and return the first tickers of the queue."""
    taken = list(islice(queue, count))
    for ticker in taken:
        del queue[ticker]
    return taken


UNREADABLE = "unreadable"
RECOVERED_BOOKS_PER_COMMAND = 100
REQUESTED_BOOKS = 1_000
UNREADABLE_US = 60 * SECOND_US


class BookRecovery:
    """The books that lack data since a loss. When each has had a new snapshot, the gaps are closed."""

    def __init__(self, journal: Journal) -> None:
        self.lacking: set[str] = set()
        self._journal = journal
        self._gaps: dict[tuple[str, int], Gap] = {}
        self._to_request: dict[str, None] = {}
        self._requested: dict[str, int] = {}  # until when the answer is expected
        self._is_partial = False
        self._request_from_us = 0
        self._resumed_us = 0  # when the latest snapshot arrived that changes are applied to
        self._claimed_us = 0  # until when a market that has left was received

    @property
    def is_open(self) -> bool:
        return bool(self._gaps)

    @property
    def started_us(self) -> int:
        return min(gap.started_us for gap in self._gaps.values())

    def open_gap(
        self, cause: str, sid: int, started_us: int, lacking: Iterable[str], missing: int | None = None
    ) -> None:
        """Open a gap, or add to the open one of the same cause and subscription."""
        self.lacking = set(lacking)
        gap = self._gaps.get((cause, sid))
        if gap is None:
            markets = len(self.lacking)
            gap = self._journal.open_gap(BOOK_CHANNEL, cause, started_us, sid=sid, markets=markets, missing=missing)
        elif missing is not None:
            gap = gap._replace(missing=missing + (gap.missing or 0))
        self._gaps[cause, sid] = gap

    def request(self, tickers: Iterable[str]) -> None:
        """Queue requests for snapshots. Unanswered requests are not repeated: their answers follow the loss."""
        self._to_request = {ticker: None for ticker in tickers if ticker not in self._requested}

    def delay_requests(self, now_us: int) -> None:
        """Ask at once, and then once a minute at most: a frame that cannot be read may recur again and again."""
        if now_us > self._request_from_us:
            self._request_from_us = max(now_us, self._request_from_us + UNREADABLE_US)

    def forget_requests(self) -> None:
        self._to_request.clear()
        self._requested.clear()

    def next_to_request(self, now_us: int) -> list[str]:
        if now_us < self._request_from_us or len(self._requested) > REQUESTED_BOOKS - RECOVERED_BOOKS_PER_COMMAND:
            return []
        tickers = first(self._to_request, RECOVERED_BOOKS_PER_COMMAND)
        self._requested.update(dict.fromkeys(tickers, now_us + SILENCE_US))
        return tickers

    def not_requested(self, tickers: Iterable[str]) -> None:
        for ticker in tickers:
            if self._requested.pop(ticker, None) is not None:
                self._to_request[ticker] = None

    def overdue(self, now_us: int) -> list[str]:
        """Return the books whose answer is overdue, and forget the requests."""
        # They are in the order of their times, so the search stops early.
        overdue = [ticker for ticker, _ in takewhile(lambda each: each[1] <= now_us, self._requested.items())]
        for ticker in overdue:
            del self._requested[ticker]
        return overdue

    def open_gap_after_end(self, cause: str, sid: int, started_us: int, lacking: Iterable[str]) -> None:
        """Open a gap for all markets when a subscription ended.

        If none is left, open it for the last one that left, in case the subscription was already dead by then.
        """
        if lacking or self._claimed_us > started_us:
            self.open_gap(cause, sid, started_us, lacking)
        if not lacking and self.is_open:
            self._resumed_us = max(self._resumed_us, self._claimed_us)
            self.close_gaps()
        self._claimed_us = 0

    def received_until_us(self, ticker: str, now_us: int) -> int:
        """Return until when a market that leaves now was received."""
        if ticker in self.lacking:
            return self.started_us
        self._claimed_us = max(self._claimed_us, now_us)
        return now_us

    def recovered(self, ticker: str, received_us: int = 0) -> None:
        self._resumed_us = max(self._resumed_us, received_us)
        self.lacking.discard(ticker)
        self._to_request.pop(ticker, None)
        self._requested.pop(ticker, None)

    def give_up(self, ticker: str) -> None:
        """Stop waiting for the book. The subscription as a whole cannot be trusted then."""
        self.recovered(ticker)
        self._is_partial = True

    def close_gaps(self) -> bool:
        """Close the gaps, since no book is lacking: the last one was received again or has left.

        Return True if the whole subscription can be trusted again.
        """
        for gap in self._gaps.values():
            self._journal.close_gap(gap, self._resumed_us)
        self._resumed_us = 0
        self._gaps.clear()
        was_complete, self._is_partial = not self._is_partial, False
        return was_complete


log = logs.get(__name__)

MARKETS_PER_COMMAND = 1_000
JOINING_MARKETS = 2_000
LIST_US = 60 * SECOND_US


class BookRequests:
    """Decides the next commands. It asks for no more than was just answered, so the exchange sets the pace."""

    def __init__(self, markets: BookMarkets, recovery: BookRecovery, refresh: Refresh) -> None:
        self.extra_sids: list[int] = []
        self._closing: dict[str, None] = {}  # markets whose books are requested once more
        self._markets = markets
        self._recovery = recovery
        self._refresh = refresh
        self._commands = Commands()
        self._backoff = command_backoff()
        self._joined_at_once = self._deleted_at_once = MARKETS_PER_COMMAND
        self._granted = {CommandKind.ADD: 0, CommandKind.DELETE: 0}
        self._codes_seen: set[int] = set()
        self._list_us = 0
        self._subscribe_from_us = 0

    def start(self, now_us: int, place: int) -> None:
        self._backoff = command_backoff()
        self._joined_at_once = self._deleted_at_once = MARKETS_PER_COMMAND
        self._subscribe_from_us = now_us
        self._list_us = now_us + LIST_US
        self._refresh.start(now_us, place)

    def start_over(self) -> None:
        """Forget commands and requests of the subscription that has ended."""
        self._commands.forget()
        self.extra_sids.clear()
        self._closing.clear()

    def next(self, sid: int | None, now_us: int) -> list[bytes]:
        """Return the commands to send now. Commands without an answer in time are queued again first."""
        for command in self._commands.overdue(now_us):
            self.put_back(command, is_answered=False)
        if self._backoff.lasts(now_us):
            return []
        if sid is None:
            return self._subscribe(now_us)
        return [
            *self._deletions(sid, now_us),
            *self._additions(sid, now_us),
            *self._snapshot_requests(sid, now_us),
            *self._housekeeping(sid, now_us),
        ]

    def request_now(self, tickers: list[str]) -> None:
        self._refresh.request_now(tickers)

    def request_before_closing(self, ticker: str) -> None:
        """Request one more snapshot of a market that is about to close: it proves the changes since the last one."""
        if ticker in self._markets.since:
            self._closing[ticker] = None

    def answered(self, number: int | None) -> Command | None:
        return self._commands.answered(number)

    def refused(self, error: Error, conn: int) -> Command | None:
        """Count and log a refusal. Return the command that it is about, or None if it is not known."""
        code = error.msg.code
        metrics.REFUSED_COMMANDS.labels(code).inc()
        if code not in self._codes_seen:
            self._codes_seen.add(code)
            log.warning("command refused by the exchange", conn=conn, code=code, said=error.msg.msg)
        return self._commands.refused(error.id)

    def granted(self, command: Command) -> None:
        self._backoff.succeeded()
        # A granted command proves that the exchange works, so a deletion that is refused is refused for its own sake.
        self._granted[CommandKind.DELETE] += 1
        if command.kind is CommandKind.DELETE:
            self._markets.deleted(command.tickers)
            self._deleted_at_once = min(2 * self._deleted_at_once, MARKETS_PER_COMMAND)
        elif command.kind in JOINS:
            self._granted[CommandKind.ADD] += 1
            self._joined_at_once = min(2 * self._joined_at_once, MARKETS_PER_COMMAND)

    def back_off(self, now_us: int) -> None:
        """Wait before the next command, after any refusal."""
        self._backoff.failed_at(now_us)

    def put_back(self, command: Command, *, is_answered: bool = True) -> None:
        """Queue the command's markets again. If it was not answered, it may have been carried out."""
        match command.kind:
            case CommandKind.SUBSCRIBE | CommandKind.ADD:
                self._markets.not_joined(command.tickers, may_have_joined=not is_answered)
            case CommandKind.DELETE:
                self._markets.not_deleted(command.tickers)
            case CommandKind.SNAPSHOT if is_answered:
                self._recovery.not_requested(command.tickers)

    def split(self, command: Command) -> bool:
        """Queue the command's markets again, in two halves. Return False if it had a single market."""
        self.put_back(command)
        self._markets.note_refused(command.tickers, self._granted_like(command))
        half = max(len(command.tickers) // 2, 1)
        if command.kind is CommandKind.DELETE:
            self._deleted_at_once = half
        else:
            self._joined_at_once = half
        return len(command.tickers) > 1

    def is_to_blame(self, command: Command) -> bool:
        """Return True if the single market of a refused command is the reason for the refusal.

        It is if other commands of its kind were granted since it was first refused, be it in one command with theirs.
        Otherwise the exchange refuses in general.
        """
        granted_when_refused = self._markets.granted_when_refused(command.tickers[0])
        return granted_when_refused is not None and self._granted_like(command) > granted_when_refused

    def _granted_like(self, command: Command) -> int:
        return self._granted[CommandKind.DELETE if command.kind is CommandKind.DELETE else CommandKind.ADD]

    def _subscribe(self, now_us: int) -> list[bytes]:
        if self._commands.unanswered(CommandKind.SUBSCRIBE) or now_us < self._subscribe_from_us:
            return []
        self._markets.no_subscription()
        if not self._markets.to_join:
            return []
        # A subscription that ends as soon as it begins is not requested again immediately.
        self._subscribe_from_us = now_us + SECOND_US
        tickers = self._markets.next_to_join(self._joined_at_once, now_us)
        return [self._commands.subscribe_to_books(tickers, now_us)]

    def _deletions(self, sid: int, now_us: int) -> list[bytes]:
        if not self._markets.to_delete or self._commands.unanswered(CommandKind.DELETE):
            return []
        tickers = self._markets.next_to_delete(self._deleted_at_once)
        return [self._commands.update(CommandKind.DELETE, sid, tickers, now_us)]

    def _additions(self, sid: int, now_us: int) -> list[bytes]:
        is_busy = len(self._markets.joining) > JOINING_MARKETS - MARKETS_PER_COMMAND
        if not self._markets.to_join or is_busy:
            return []
        tickers = self._markets.next_to_join(self._joined_at_once, now_us)
        return [self._commands.update(CommandKind.ADD, sid, tickers, now_us)]

    def _snapshot_requests(self, sid: int, now_us: int) -> list[bytes]:
        commands = []
        while tickers := self._recovery.next_to_request(now_us):
            commands.append(self._commands.update(CommandKind.SNAPSHOT, sid, tickers, now_us))
        since = self._markets.since
        # After a loss every book is requested anyway.
        if self._closing and not self._recovery.is_open:
            last = [ticker for ticker in first(self._closing, RECOVERED_BOOKS_PER_COMMAND) if ticker in since]
            commands += [self._commands.update(CommandKind.SNAPSHOT, sid, last, now_us)] if last else []
        if not self._recovery.is_open and (due := self._refresh.due(since, len(since), now_us)):
            tickers = [ticker for ticker in due if ticker in since]
            commands += [self._commands.update(CommandKind.SNAPSHOT, sid, tickers, now_us)] if tickers else []
        return commands

    def _housekeeping(self, sid: int, now_us: int) -> list[bytes]:
        """Return commands to list the subscriptions and to end extra ones.

        The list reveals a subscription whose end was announced and lost.
        """
        commands = [self._commands.unsubscribe(extra, now_us) for extra in self.extra_sids]
        self.extra_sids.clear()
        if now_us >= self._list_us:
            self._list_us = now_us + LIST_US
            commands.append(self._commands.list_subscriptions(sid, now_us))
        return commands
