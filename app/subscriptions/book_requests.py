from app import logs
from app.kalshi.answers import Error
from app.metrics import connections as metrics
from app.subscriptions.book_markets import BookMarkets, first
from app.subscriptions.commands import JOINS, Command, Commands, Kind
from app.subscriptions.patience import SECOND_US, Backoff
from app.subscriptions.refresh import Refresh
from app.subscriptions.repair import BOOKS_PER_COMMAND, Repair

log = logs.get(__name__)

MARKETS_PER_COMMAND = 1_000
JOINING_MARKETS = 2_000
LIST_US = 60 * SECOND_US


class BookRequests:
    """What to ask of the exchange next: never more than it has just answered, so that it sets the pace."""

    def __init__(self, markets: BookMarkets, repair: Repair, refresh: Refresh) -> None:
        self.extra_sids: list[int] = []
        self._closing: dict[str, None] = {}  # whose books are asked for once more
        self._markets = markets
        self._repair = repair
        self._refresh = refresh
        self._commands = Commands()
        self._backoff = Backoff()
        self._joined_at_once = self._deleted_at_once = MARKETS_PER_COMMAND
        self._granted = {Kind.ADD: 0, Kind.DELETE: 0}
        self._codes_seen: set[int] = set()
        self._list_us = 0
        self._subscribe_from_us = 0

    def start(self, now_us: int, place: int) -> None:
        self._backoff = Backoff()
        self._joined_at_once = self._deleted_at_once = MARKETS_PER_COMMAND
        self._subscribe_from_us = now_us
        self._list_us = now_us + LIST_US
        self._refresh.start(now_us, place)

    def start_over(self) -> None:
        self._commands.forget()
        self.extra_sids.clear()
        self._closing.clear()

    def next(self, sid: int | None, now_us: int) -> list[bytes]:
        for command in self._commands.overdue(now_us):
            self.put_back(command, perhaps=True)
        if self._backoff.lasts(now_us):
            return []
        if sid is None:
            return self._subscribe(now_us)
        return [*self._leave(sid, now_us), *self._join(sid, now_us), *self._ask(sid, now_us), *self._check(sid, now_us)]

    def ask_anew(self, tickers: list[str]) -> None:
        self._refresh.hurry(tickers)

    def ask_before_closing(self, ticker: str) -> None:
        """Another snapshot proves the changes since the last one."""
        if ticker in self._markets.since:
            self._closing[ticker] = None

    def answered(self, number: int | None) -> Command | None:
        return self._commands.answered(number)

    def refused(self, error: Error, conn: int) -> Command | None:
        code = error.msg.code
        metrics.REFUSED_COMMANDS.labels(code).inc()
        if code not in self._codes_seen:
            self._codes_seen.add(code)
            log.warning("the exchange refused", conn=conn, code=code, said=error.msg.msg)
        return self._commands.refused(error.id)

    def granted(self, command: Command) -> None:
        self._backoff.granted()
        # That anything is granted shows that the exchange is there, and that a deletion is refused for its own sake.
        self._granted[Kind.DELETE] += 1
        if command.kind is Kind.DELETE:
            self._markets.left(command.tickers)
            self._deleted_at_once = min(2 * self._deleted_at_once, MARKETS_PER_COMMAND)
        elif command.kind in JOINS:
            self._granted[Kind.ADD] += 1
            self._joined_at_once = min(2 * self._joined_at_once, MARKETS_PER_COMMAND)

    def back_off(self, now_us: int) -> None:
        """After anything was refused."""
        self._backoff.refused(now_us)

    def put_back(self, command: Command, *, perhaps: bool = False) -> None:
        """To be asked again. Perhaps: it may have been heard, since nobody answered."""
        match command.kind:
            case Kind.SUBSCRIBE | Kind.ADD:
                self._markets.not_joined(command.tickers, perhaps=perhaps)
            case Kind.DELETE:
                self._markets.not_left(command.tickers)
            case Kind.SNAPSHOT if not perhaps:
                self._repair.not_asked(command.tickers)

    def halved(self, command: Command) -> bool:
        """To be asked again in two halves. False if it was about a single market."""
        self.put_back(command)
        self._markets.note_refused(command.tickers, self._granted_like(command))
        half = max(len(command.tickers) // 2, 1)
        if command.kind is Kind.DELETE:
            self._deleted_at_once = half
        else:
            self._joined_at_once = half
        return len(command.tickers) > 1

    def is_to_blame(self, command: Command) -> bool:
        """Return whether the only market of a refused command is the reason: others were granted since it was first
        refused, be it with them. Else it is the exchange that refuses."""
        granted = self._granted_like(command)
        return granted > self._markets.granted_when_refused.get(command.tickers[0], granted)

    def _granted_like(self, command: Command) -> int:
        return self._granted[Kind.DELETE if command.kind is Kind.DELETE else Kind.ADD]

    def _subscribe(self, now_us: int) -> list[bytes]:
        if self._commands.unanswered(Kind.SUBSCRIBE) or now_us < self._subscribe_from_us:
            return []
        self._markets.return_at_once()
        if not self._markets.waiting:
            return []
        # One that ends as soon as it begins is not begun again at once.
        self._subscribe_from_us = now_us + SECOND_US
        tickers = self._markets.join(self._joined_at_once, now_us)
        return [self._commands.subscribe_to_books(tickers, now_us)]

    def _leave(self, sid: int, now_us: int) -> list[bytes]:
        if not self._markets.to_leave or self._commands.unanswered(Kind.DELETE):
            return []
        tickers = self._markets.leave(self._deleted_at_once)
        return [self._commands.update(Kind.DELETE, sid, tickers, now_us)]

    def _join(self, sid: int, now_us: int) -> list[bytes]:
        is_busy = len(self._markets.joining) > JOINING_MARKETS - MARKETS_PER_COMMAND
        if not self._markets.waiting or is_busy:
            return []
        tickers = self._markets.join(self._joined_at_once, now_us)
        return [self._commands.update(Kind.ADD, sid, tickers, now_us)]

    def _ask(self, sid: int, now_us: int) -> list[bytes]:
        commands = []
        while tickers := self._repair.next_to_ask(now_us):
            commands.append(self._commands.update(Kind.SNAPSHOT, sid, tickers, now_us))
        since = self._markets.since
        # Where something was lost, every book is asked for anyway.
        if self._closing and not self._repair.is_open:
            last = [ticker for ticker in first(self._closing, BOOKS_PER_COMMAND) if ticker in since]
            commands += [self._commands.update(Kind.SNAPSHOT, sid, last, now_us)] if last else []
        if not self._repair.is_open and (due := self._refresh.due(since, len(since), now_us)):
            tickers = [ticker for ticker in due if ticker in since]
            commands += [self._commands.update(Kind.SNAPSHOT, sid, tickers, now_us)] if tickers else []
        return commands

    def _check(self, sid: int, now_us: int) -> list[bytes]:
        """Whether the subscription is still there, should its end have been said and lost; and whether others are."""
        commands = [self._commands.unsubscribe(extra, now_us) for extra in self.extra_sids]
        self.extra_sids.clear()
        if now_us >= self._list_us:
            self._list_us = now_us + LIST_US
            commands.append(self._commands.list_subscriptions(sid, now_us))
        return commands
