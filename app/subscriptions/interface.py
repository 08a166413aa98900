"""Define the interfaces between the connection manager, the message router and the subscriptions of a connection."""

from typing import Final, Literal, Protocol

from app.kalshi.messages import Message
from app.normalize.stream import SequenceGap


class GapControl(Protocol):
    """The part of a stream that its subscriptions control: between which messages of a sid changes may be missing."""

    def begin_gap(self, sid: int) -> None: ...

    def end_gap(self, sid: int) -> None: ...

    def forget(self, sid: int) -> None: ...


class Subscriber(Protocol):
    """The subscriptions of one connection, over all of its sockets: it is informed of events and returns commands.

    Timers use the steady clock (app.runtime.clock.steady_us), which opened() and commands() are given. All other times
    state what was received, in the exchange's time as nearly as possible, erring on the side that claims less.
    """

    must_reconnect: str | None  # the reason, if only a new socket helps

    @property
    def sids(self) -> list[int]: ...

    @property
    def wanted(self) -> int:
        """Return the number of markets, or of exchange-wide channels."""

    @property
    def received(self) -> int: ...

    @property
    def in_doubt(self) -> int: ...

    def opened(self, stream: GapControl, now_us: int) -> None: ...

    def note_received(self, sid: int, until_us: int) -> None:
        """Note that everything until this time was received: a later loss begins here."""

    def note_gap(self, gap: SequenceGap, now_us: int) -> None:
        """Note a loss, before the message that reveals it is handled. Everything from `now_us` on may be received."""

    def handle(self, message: Message, received_us: int) -> bool:
        """Handle a message that is not a change, a trade or a ticker.

        What happens from `received_us` on may be received. Return True if there may be commands to send now.
        """

    def request_books(self, tickers: list[str]) -> None:
        """Request the books of these markets immediately, though nothing was lost."""

    def commands(self, now_us: int) -> list[bytes]:
        """Return the commands to send now. Call it after each send, if handle() returns True, and every second."""

    def closed(self, last_sign_us: int) -> None:
        """Note that the socket is closed. Whatever happened after its last sign of life does not count as received."""


State = Literal["waiting", "connecting", "open"]
OPEN: Final = "open"


class AnyMarketChange(Protocol):
    """A change of a market's state."""

    @property
    def ticker(self) -> str: ...

    @property
    def is_to_be_recorded(self) -> bool:
        """Return whether its order book is to be recorded from now on."""

    @property
    def is_closing(self) -> bool:
        """Return whether it is about to close, so that its book is requested once more."""


class AnyMarketChanges(Protocol):
    """gevent's queue of market changes."""

    def get(self, block: bool = True, timeout: float | None = None) -> AnyMarketChange: ...
