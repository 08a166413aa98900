"""How many requests a user may make: a bucket of tokens each, refilled continuously."""

from collections import OrderedDict
from typing import NamedTuple

from app.simulator.token_bucket import TokenBucket

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
        # Not one of the exchange's: for measuring how fast the simulator itself is.
        Tier("unlimited", 1_000_000_000, 1_000_000_000, 1),
    )
}


class RequestBudget:
    """One bucket for each key, and for each address that does not sign."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def spend(self, user: str) -> bool:
        bucket = self._buckets.get(user)
        if bucket is None:
            bucket = self._buckets[user] = TokenBucket(self.tier.read_per_second, self.tier.read_capacity)
            if len(self._buckets) > KEPT_BUCKETS:
                self._buckets.popitem(last=False)
        return bucket.take(COST_TOKENS)
