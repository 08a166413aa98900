from typing import NamedTuple

TOKENS_PER_CALL = 10
NS_PER_SECOND = 1_000_000_000


class Limits(NamedTuple):
    """How the exchange refills the bucket of an account, and how much it holds."""

    tokens_per_second: int
    capacity: int

    def shared_by(self, processes: int) -> "Limits":
        """The part of one of so many processes that use the same key: the exchange has one bucket for all of them."""
        return Limits(max(self.tokens_per_second // processes, 1), max(self.capacity // processes, TOKENS_PER_CALL))


BASIC = Limits(tokens_per_second=200, capacity=600)


class TokenBucket:
    """Counts in billionths of a token, which makes nanoseconds times tokens per second exact."""

    def __init__(self, limits: Limits, now_ns: int) -> None:
        self._limits = limits
        self._tokens_e9 = limits.capacity * NS_PER_SECOND
        self._refilled_ns = now_ns

    def ns_until(self, tokens: int, now_ns: int) -> int:
        """When so many tokens will have come in, if none is taken before; 0 if they are there."""
        self._refill(now_ns)
        missing_e9 = tokens * NS_PER_SECOND - self._tokens_e9
        return max(-(-missing_e9 // self._limits.tokens_per_second), 0)

    def take(self, tokens: int) -> None:
        self._tokens_e9 -= tokens * NS_PER_SECOND

    def empty(self, now_ns: int) -> None:
        self._refill(now_ns)
        self._tokens_e9 = 0

    def change(self, limits: Limits, now_ns: int) -> None:
        self._refill(now_ns)
        self._limits = limits
        self._refill(now_ns)

    def _refill(self, now_ns: int) -> None:
        gained_e9 = (now_ns - self._refilled_ns) * self._limits.tokens_per_second
        self._tokens_e9 = min(self._tokens_e9 + gained_e9, self._limits.capacity * NS_PER_SECOND)
        self._refilled_ns = now_ns
