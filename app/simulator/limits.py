"""The exchange's limits per client, its request budget by tier, and the two shapes of its error bodies.

The numbers are the documented ones, where there are any.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

import msgspec


class SimLimits(NamedTuple):
    """The limits of one client, with the documented numbers where there are any."""

    connections_per_user: int = 200
    markets_per_session: int = 500_000
    commands_per_second: int = 10_000
    buffer_frames: int = 10_000  # of one subscription; the exchange does not publish its own number
    heartbeat_seconds: float = 10.0


class SimTokenBucket:
    """A token bucket that refills continuously and holds unused tokens up to its capacity."""

    def __init__(self, per_second: float, capacity: float, now_seconds: Callable[[], float] = time.monotonic) -> None:
        self.per_second = per_second
        self.capacity = capacity
        self._tokens = capacity
        self._now_seconds = now_seconds
        self._filled_at = now_seconds()

    def take(self, tokens: float) -> bool:
        now = self._now_seconds()
        self._tokens = min(self.capacity, self._tokens + (now - self._filled_at) * self.per_second)
        self._filled_at = now
        if self._tokens < tokens:
            return False
        self._tokens -= tokens
        return True


# The request budget: one continuously refilled token bucket per user.

COST_TOKENS = 10
KEPT_BUCKETS = 10_000


class Tier(NamedTuple):
    name: str
    read_per_second: int
    write_per_second: int
    read_capacity_seconds: int

    @property
    def read_capacity(self) -> int:
        return self.read_per_second * self.read_capacity_seconds


TIERS = {
    tier.name: tier
    for tier in (
        Tier("basic", 200, 100, 3),
        Tier("advanced", 300, 300, 3),
        Tier("expert", 600, 600, 1),
        Tier("premier", 1_200, 1_200, 1),
        Tier("paragon", 2_400, 2_400, 1),
        Tier("prime", 4_800, 4_800, 1),
        Tier("prestige", 12_000, 9_600, 1),
        # Not a tier of the exchange: for measuring how fast the simulator itself is.
        Tier("unlimited", 1_000_000_000, 1_000_000_000, 1),
    )
}


class SimRequestBudget:
    """The token buckets, one for each key, and one for each address of unsigned requests."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self._buckets: OrderedDict[str, SimTokenBucket] = OrderedDict()

    def spend(self, user: str) -> bool:
        """Spend one request's tokens. Return False if the user's budget does not allow it."""
        bucket = self._buckets.get(user)
        if bucket is None:
            bucket = self._buckets[user] = SimTokenBucket(self.tier.read_per_second, self.tier.read_capacity)
            if len(self._buckets) > KEPT_BUCKETS:
                self._buckets.popitem(last=False)
        return bucket.take(COST_TOKENS)


Shape = Literal["nested", "flat"]


class ErrorBodies:
    """Error bodies in one of two shapes: `nested` as the exchange answers, `flat` as its documents describe."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def body(self, code: str, message: str) -> bytes:
        if self._shape == "nested":
            return msgspec.json.encode({"error": {"code": code, "message": message}})
        if code == "too_many_requests":
            return msgspec.json.encode({"error": message})
        return msgspec.json.encode({"code": code, "message": message})


class SimLedger(Protocol):
    """The record of what each connection was sent, written when its last byte has been handed to the kernel.

    What is not recorded was not sent whole. What is recorded was received unless the connection broke afterwards. The
    frames of a blast are counted, but not recorded.
    """

    def sent(self, connection: str, ordinal: int, what: str) -> None: ...

    def snapshot(self, connection: str, market: int, clock: int, what: str) -> None: ...
