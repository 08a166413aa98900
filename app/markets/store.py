"""Compact storage for a million markets: columns by slot, sorted tickers, and the schedule of their times."""

import heapq
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from app.markets.market import STATUSES, Market

CAPACITY = 1_000
OTHER = "other"


class StringTable:
    """Numbers for words from a small set, a market's result for example.

    If there should ever be many, the late ones share one name: the exact word is in the database.
    """

    def __init__(self, *known: str) -> None:
        self._words = [OTHER, *known]
        self._numbers = {word: number for number, word in enumerate(self._words)}

    def number(self, word: str) -> int:
        number = self._numbers.get(word)
        if number is not None:
            return number
        if len(self._words) == CAPACITY:
            return 0
        self._words.append(word)
        self._numbers[word] = len(self._words) - 1
        return self._numbers[word]

    def word(self, number: int) -> str:
        return self._words[number]


# No value in a column is this low.
ABSENT = -(2**63)
NO_SHARD = -(2**31)


class MarketCache:
    """Every known market in a few hundred bytes: a column for each of its fields, and a dictionary from ticker to slot.

    A slot that becomes free is used again.
    """

    def __init__(self) -> None:
        self._slots: dict[str, int] = {}  # bounded by the markets that are not long settled
        self._free = array("I")
        self._tickers: list[str | None] = []  # bounded by the same
        # Almost every market's ticker begins with its event's ticker, so the length of that is enough.
        self._event_length = array("H")
        self._other_events: dict[int, str] = {}  # bounded by the same
        self._status = array("B")
        self._type = array("H")
        self._result = array("H")
        self._shard = array("i")
        self._open = array("q")
        self._close = array("q")
        self._expiration = array("q")
        self._updated = array("q")
        self._types = StringTable("binary", "scalar")
        self._results = StringTable("", "yes", "no", "scalar")
        self._columns: tuple[array[int], ...] = (
            *(self._event_length, self._status, self._type, self._result, self._shard),
            *(self._open, self._close, self._expiration, self._updated),
        )

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def slots(self) -> int:
        """Return the number of slots, free ones included."""
        return len(self._tickers)

    def slot(self, ticker: str) -> int | None:
        return self._slots.get(ticker)

    def ticker(self, slot: int) -> str | None:
        """Return the ticker in the slot, or None if the slot is free."""
        return self._tickers[slot]

    def status(self, slot: int) -> str:
        return STATUSES[self._status[slot]]

    def event_ticker(self, slot: int) -> str | None:
        """Return the event's ticker, or None if the slot is free."""
        ticker = self._tickers[slot]
        return None if ticker is None else ticker[: self._event_length[slot]] or self._other_events[slot]

    def market(self, slot: int) -> Market:
        """Return the market without its title and its quote, which are stored elsewhere."""
        ticker = self._tickers[slot]
        if ticker is None:
            raise LookupError(f"no market in slot {slot}")
        shard = self._shard[slot]
        return Market(
            ticker,
            ticker[: self._event_length[slot]] or self._other_events[slot],
            STATUSES[self._status[slot]],
            self._types.word(self._type[slot]),
            self._results.word(self._result[slot]),
            None if shard == NO_SHARD else shard,
            _present(self._open[slot]),
            _present(self._close[slot]),
            _present(self._expiration[slot]),
            _present(self._updated[slot]),
        )

    def store(self, market: Market) -> int:
        """Store the market and return its slot."""
        slot = self._slots.get(market.ticker)
        if slot is None:
            slot = self._new_slot(market.ticker)
        self._store_event(slot, market)
        self._status[slot] = STATUSES.index(market.status)
        self._type[slot] = self._types.number(market.market_type)
        self._result[slot] = self._results.number(market.result)
        self._shard[slot] = NO_SHARD if market.exchange_index is None else market.exchange_index
        self._open[slot] = _stored(market.open_us)
        self._close[slot] = _stored(market.close_us)
        self._expiration[slot] = _stored(market.expiration_us)
        self._updated[slot] = _stored(market.updated_us)
        return slot

    def remove(self, slot: int) -> None:
        ticker = self._tickers[slot]
        if ticker is not None:
            del self._slots[ticker]
            self._tickers[slot] = None
            self._other_events.pop(slot, None)
            self._free.append(slot)

    def _new_slot(self, ticker: str) -> int:
        if self._free:
            slot = self._free.pop()
        else:
            slot = len(self._tickers)
            self._tickers.append(None)
            for column in self._columns:
                column.append(0)
        self._tickers[slot] = ticker
        self._slots[ticker] = slot
        return slot

    def _store_event(self, slot: int, market: Market) -> None:
        is_prefix = market.event_ticker and market.ticker.startswith(market.event_ticker)
        length = len(market.event_ticker) if is_prefix else 0
        if 0 < length < 1 << 16:
            self._event_length[slot] = length
            self._other_events.pop(slot, None)
        else:
            self._event_length[slot] = 0
            self._other_events[slot] = market.event_ticker


def _present(value: int) -> int | None:
    return None if value == ABSENT else value


def _stored(value: int | None) -> int:
    return ABSENT if value is None else value


RUN_LENGTH = 512


class SortedTickers:
    """Tickers in order, in short runs: adding, removing or reading a page takes microseconds for any number."""

    def __init__(self) -> None:
        self._runs: list[list[str]] = []  # bounded by the tickers in it
        self._lasts: list[str] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        """Yield the tickers in order, each once; one that is added or removed meanwhile may be left out."""
        page = self.page(None, RUN_LENGTH)
        while page:
            yield from page
            page = self.page(page[-1], RUN_LENGTH)

    def page(self, after: str | None, limit: int) -> list[str]:
        """Return up to `limit` tickers that follow `after`, in order."""
        number = 0 if after is None else bisect_right(self._lasts, after)
        found: list[str] = []
        while number < len(self._runs) and len(found) < limit:
            run = self._runs[number]
            start = 0 if found or after is None else bisect_right(run, after)
            found += run[start : start + limit - len(found)]
            number += 1
        return found

    def add(self, ticker: str) -> None:
        if not self._runs:
            self._runs.append([])
            self._lasts.append(ticker)
        number = min(bisect_left(self._lasts, ticker), len(self._runs) - 1)
        run = self._runs[number]
        position = bisect_left(run, ticker)
        if position < len(run) and run[position] == ticker:
            return
        run.insert(position, ticker)
        self._count += 1
        self._lasts[number] = run[-1]
        if len(run) > 2 * RUN_LENGTH:
            self._split(number)

    def discard(self, ticker: str) -> None:
        number = bisect_left(self._lasts, ticker)
        if number == len(self._runs):
            return
        run = self._runs[number]
        position = bisect_left(run, ticker)
        if position == len(run) or run[position] != ticker:
            return
        del run[position]
        self._count -= 1
        if run:
            self._lasts[number] = run[-1]
        else:
            del self._runs[number], self._lasts[number]

    def _split(self, number: int) -> None:
        run = self._runs[number]
        self._runs[number : number + 1] = [run[:RUN_LENGTH], run[RUN_LENGTH:]]
        self._lasts[number : number + 1] = [run[RUN_LENGTH - 1], run[-1]]


SECOND_US = 1_000_000
SLOT_BITS = 29
SLOT_MASK = (1 << SLOT_BITS) - 1
NEVER = 0
LAST_SECOND = 2**32 - 1
SPARE_ENTRIES = 100_000
AHEAD_SECONDS = 3_600


class Schedule:
    """The due moments of slots: at most one for each, in whole seconds, never too early.

    Moments of the next hour are in a heap, each as one integer of second and slot; an entry whose slot got another
    moment stays until it is due, and is then skipped. Later moments are only in the column, and move to the heap once
    an hour.
    """

    def __init__(self) -> None:
        self._second = array("I")
        self._line: list[int] = []  # bounded by twice the slots and the spare ones
        self._line_end = 0
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def set(self, slot: int, moment_us: int | None) -> None:
        self._second.extend([NEVER] * (slot + 1 - len(self._second)))
        second = NEVER if moment_us is None else max(-(-moment_us // SECOND_US), 1)
        # Beyond the unsigned column, in the year 2106: never due.
        if second > LAST_SECOND:
            second = NEVER
        before = self._second[slot]
        self._second[slot] = second
        self._waiting += (second != NEVER) - (before != NEVER)
        if second not in (before, NEVER) and second < self._line_end:
            heapq.heappush(self._line, second << SLOT_BITS | slot)
            # Too many entries were replaced: rebuild the heap without them, which bounds it.
            if len(self._line) > 2 * self._waiting + SPARE_ENTRIES:
                self._line_up()

    def next_due(self, now_us: int) -> int | None:
        """Return a slot that is due and clear its moment; None if none is due."""
        now = now_us // SECOND_US
        if now >= self._line_end:
            self._line_end = now + AHEAD_SECONDS
            self._line_up()
        while self._line and self._line[0] >> SLOT_BITS <= now:
            entry = heapq.heappop(self._line)
            slot = entry & SLOT_MASK
            if self._second[slot] == entry >> SLOT_BITS:
                self._second[slot] = NEVER
                self._waiting -= 1
                return slot
        return None

    def _line_up(self) -> None:
        end = self._line_end
        self._line = [second << SLOT_BITS | slot for slot, second in enumerate(self._second) if NEVER < second < end]
        heapq.heapify(self._line)
