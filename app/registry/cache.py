from array import array

from app.registry.market import STATUSES, Market
from app.registry.words import Words

# No value of ours is that low.
ABSENT = -(2**63)
NO_SHARD = -(2**31)


class MarketCache:
    """Every known market in a few hundred bytes: one column for each of its facts, and a dictionary that leads from its
    ticker to its slot in them. A slot that becomes free is used again."""

    def __init__(self) -> None:
        self._slots: dict[str, int] = {}  # bounded by the markets that are not long settled
        self._free = array("I")
        self._tickers: list[str | None] = []  # bounded by the same
        # Almost every market's ticker begins with its event's: its length is enough.
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
        self._types = Words("binary", "scalar")
        self._results = Words("", "yes", "no", "scalar")
        self._columns: tuple[array[int], ...] = (
            *(self._event_length, self._status, self._type, self._result, self._shard),
            *(self._open, self._close, self._expiration, self._updated),
        )

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def slots(self) -> int:
        """How many there are, free ones included."""
        return len(self._tickers)

    def slot(self, ticker: str) -> int | None:
        return self._slots.get(ticker)

    def ticker(self, slot: int) -> str | None:
        """None: the slot is free."""
        return self._tickers[slot]

    def status(self, slot: int) -> str:
        return STATUSES[self._status[slot]]

    def event_ticker(self, slot: int) -> str | None:
        """None: the slot is free."""
        ticker = self._tickers[slot]
        return None if ticker is None else ticker[: self._event_length[slot]] or self._other_events[slot]

    def market(self, slot: int) -> Market:
        """Without its title and its quote, which are not here."""
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
        """In its slot, which is returned."""
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
