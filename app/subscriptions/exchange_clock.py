"""How this host's clock stands to the exchange's, by what messages say: what is claimed to be heard is in its time."""

from app.kalshi.messages import Message
from app.kalshi.records import OrderbookDelta, Ticker, Trade
from app.normal.times import MILLISECOND_US, SECOND_US, exchange_us

UNKNOWN_US = 1 << 62


def happened_us(message: OrderbookDelta | Trade | Ticker) -> tuple[int, int] | None:
    """Return the earliest time that it may have happened, and how much later it may have been; None: it tells none."""
    if message.msg.ts_ms is not None:
        return message.msg.ts_ms * MILLISECOND_US, 0
    earliest_us = exchange_us(None, message.msg.ts)
    if earliest_us is None:
        return None
    # The older wire cuts the fraction of a second off.
    return earliest_us, 0 if earliest_us % SECOND_US else SECOND_US


def said_us(message: Message) -> int | None:
    """Return when it was sent, or when it happened at the latest; None if the message does not tell."""
    sending_ts_ms: int | None = getattr(message, "sending_ts_ms", None)
    if sending_ts_ms is not None:
        return sending_ts_ms * MILLISECOND_US
    happened = happened_us(message) if isinstance(message, OrderbookDelta | Trade | Ticker) else None
    return None if happened is None else sum(happened)


class ExchangeClock:
    """One for all connections: a socket that has just been opened knows nothing by itself.

    Our clock less a message's time is how long it took to come, plus what our clock is ahead, less what it is behind.
    So the least of the last minute or two tells nearly what the clocks differ by.
    """

    def __init__(self) -> None:
        self.least_us = self._least_before_us = UNKNOWN_US  # what was heard since the last turn, and before it
        self._doubt_us = self._doubt_before_us = 0

    def hear(self, age_us: int, doubt_us: int = 0) -> None:
        """Our clock less the exchange's, and how much less that may be."""
        if age_us - doubt_us < self.least_us:
            self.least_us, self._doubt_us = age_us - doubt_us, doubt_us

    def turn(self) -> None:
        """Forget what is older than the turn before, so that a clock that was set is known anew. If nothing came since,
        what is known stays."""
        if self.least_us != UNKNOWN_US:
            self._least_before_us, self._doubt_before_us = self.least_us, self._doubt_us
            self.least_us = UNKNOWN_US

    @property
    def behind_us(self) -> int:
        """What our clock is behind, at most by what a message takes: whatever begins now begins so much later there."""
        least_us, _ = self._known()
        return max(-least_us, 0)

    @property
    def ahead_us(self) -> int:
        """What our clock is ahead, and what a message takes at least: whatever we know by now ended so much earlier."""
        least_us, doubt_us = self._known()
        return max(least_us + doubt_us, 0)

    def _known(self) -> tuple[int, int]:
        known = min((self.least_us, self._doubt_us), (self._least_before_us, self._doubt_before_us))
        return (0, 0) if known[0] == UNKNOWN_US else known
