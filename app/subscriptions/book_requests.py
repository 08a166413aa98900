from app.subscriptions.book_markets import BookMarkets, first
from app.subscriptions.commands import Command, Commands, Kind
from app.subscriptions.patience import SECOND_US, Patience
from app.subscriptions.refresh import Refresh
from app.subscriptions.repair import BOOKS_PER_COMMAND, Repair

MARKETS_PER_COMMAND = 1_000
JOINING_MARKETS = 2_000
LIST_US = 60 * SECOND_US


class BookRequests:
    """What to ask of the exchange next: never more than it has just answered, so that it sets the pace."""

    def __init__(self, markets: BookMarkets, repair: Repair, refresh: Refresh) -> None:
        self.is_full = False
        self.extra_sids: list[int] = []
        self._closing: dict[str, None] = {}  # whose books are asked for once more
        self._markets = markets
        self._repair = repair
        self._refresh = refresh
        self._commands = Commands()
        self._patience = Patience()
        self._markets_per_command = MARKETS_PER_COMMAND
        self._list_us = 0
        self._subscribe_from_us = 0

    def start(self, now_us: int, place: int) -> None:
        self.is_full = False
        self._patience.granted()
        self._markets_per_command = MARKETS_PER_COMMAND
        self._subscribe_from_us = now_us
        self._list_us = now_us + LIST_US
        self._refresh.start(now_us, place)

    def start_over(self) -> None:
        self._commands.forget()
        self.extra_sids.clear()
        self._closing.clear()

    def next(self, sid: int | None, now_us: int) -> list[bytes]:
        for command in self._commands.overdue(now_us):
            self._put_back(command, perhaps=True)
        if self._patience.lasts(now_us):
            return []
        if sid is None:
            return self._subscribe(now_us)
        return [*self._leave(sid, now_us), *self._join(sid, now_us), *self._ask(sid, now_us), *self._check(sid, now_us)]

    def ask_before_closing(self, ticker: str) -> None:
        """Another snapshot proves the changes since the last one."""
        if ticker in self._markets.since:
            self._closing[ticker] = None

    def answered(self, number: int | None) -> Command | None:
        return self._commands.answered(number)

    def granted(self, command: Command) -> None:
        self._patience.granted()
        if command.kind is Kind.DELETE:
            self._markets.left(command.tickers)
        elif command.kind is Kind.ADD:
            self._markets_per_command = min(2 * self._markets_per_command, MARKETS_PER_COMMAND)

    def refused(self, command: Command, now_us: int) -> None:
        """To be asked again later."""
        self._patience.refused(now_us)
        self._put_back(command, perhaps=False)

    def halved(self, command: Command) -> bool:
        """To be asked again in two halves. False if it was about a single market."""
        self._put_back(command, perhaps=False)
        self._markets_per_command = max(len(command.tickers) // 2, 1)
        return len(command.tickers) > 1

    def _put_back(self, command: Command, *, perhaps: bool) -> None:
        match command.kind:
            case Kind.SUBSCRIBE | Kind.ADD:
                self._markets.not_joined(command.tickers, perhaps=perhaps)
            case Kind.DELETE:
                self._markets.not_left(command.tickers)
            case Kind.SNAPSHOT if not perhaps:
                self._repair.not_asked(command.tickers)

    def _subscribe(self, now_us: int) -> list[bytes]:
        if self._commands.unanswered(Kind.SUBSCRIBE) or now_us < self._subscribe_from_us:
            return []
        self._markets.return_at_once()
        if not self._markets.waiting:
            return []
        # One that ends as soon as it begins is not begun again at once.
        self._subscribe_from_us = now_us + SECOND_US
        tickers = self._markets.join(self._markets_per_command, now_us)
        return [self._commands.subscribe_to_books(tickers, now_us)]

    def _leave(self, sid: int, now_us: int) -> list[bytes]:
        if not self._markets.to_leave or self._commands.unanswered(Kind.DELETE):
            return []
        tickers = self._markets.leave(self._markets_per_command)
        return [self._commands.update(Kind.DELETE, sid, tickers, now_us)]

    def _join(self, sid: int, now_us: int) -> list[bytes]:
        is_busy = len(self._markets.joining) > JOINING_MARKETS - MARKETS_PER_COMMAND
        if not self._markets.waiting or self.is_full or is_busy:
            return []
        tickers = self._markets.join(self._markets_per_command, now_us)
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
