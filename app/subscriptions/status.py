"""What is shown of connections to who asks."""

from typing import Final, Literal

import msgspec

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
