from typing import Final, Literal, Protocol

import msgspec

from app.kalshi.messages import Message
from app.normalize.stream import SequenceGap


class Trust(Protocol):
    """What a connection's stream is told of its subscriptions."""

    def distrust(self, sid: int) -> None: ...

    def trust(self, sid: int) -> None: ...

    def forget(self, sid: int) -> None: ...


class Subscriber(Protocol):
    """What one connection is to listen to, over all of its sockets: told what happens, it says what to send.

    Timers run by the steady clock (app.runtime.clock.steady_us), which is what opened() and commands() are given.
    All else is for claims of what is heard, and as near as can be to the exchange's time, on the side that claims less.
    """

    must_reconnect: str | None  # why, if only a new socket helps

    @property
    def sids(self) -> list[int]: ...

    @property
    def wanted(self) -> int:
        """Markets, or channels of the whole exchange."""

    @property
    def heard(self) -> int: ...

    @property
    def in_doubt(self) -> int: ...

    def opened(self, stream: Trust, now_us: int) -> None: ...

    def heard_of(self, sid: int, received_us: int) -> None:
        """Until then, all that happened came in: what is lost from now on begins here."""

    def lost_some(self, gap: SequenceGap, now_us: int) -> None:
        """What happens from now on may be heard again."""

    def take(self, message: Message, received_us: int) -> bool:
        """Whatever is not a change, a trade or a ticker; what happens from when it was received on may be heard. True
        if there may be commands to send now."""

    def ask_anew(self, tickers: list[str]) -> None:
        """Books of these are wanted at once, though nothing was lost."""

    def commands(self, now_us: int) -> list[bytes]:
        """To be sent now. To be asked for again after each send, whenever take() says so, and every second."""

    def closed(self, last_sign_us: int) -> None:
        """The socket is no more; what happened after its last sign of life was not heard, whatever seemed to be."""


# What is shown of connections to who asks.

State = Literal["waiting", "connecting", "open"]
OPEN: Final = "open"


class ConnectionStatus(msgspec.Struct, frozen=True, kw_only=True):
    conn: int
    role: str
    state: State
    since_us: int  # when that state began
    sids: list[int]
    wanted: int  # markets, or channels of the whole exchange
    heard: int
    in_doubt: int
    messages: int
    age_ms: int | None  # our clock less the exchange's, in the latest message that tells it
    last_sign_us: int | None
    reconnects: int


class SubscriptionStatus(msgspec.Struct, frozen=True, kw_only=True):
    conn: int
    channels: list[str]
    sids: list[int]
    wanted: int
    heard: int


class AnyMarketChange(Protocol):
    """Something happened to a market."""

    @property
    def ticker(self) -> str: ...

    @property
    def is_to_be_recorded(self) -> bool:
        """Whether its order book is to be listened to from now on."""

    @property
    def is_closing(self) -> bool:
        """Whether it is about to close: its book is asked for once more."""


class AnyMarketChanges(Protocol):
    """gevent's queue of them."""

    def get(self, block: bool = True, timeout: float | None = None) -> AnyMarketChange: ...
