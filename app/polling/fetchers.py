from app.kalshi.token_bucket import TOKENS_PER_CALL, Limits

# From sending a request to having stored its books; measured against the exchange: 50 to 100 ms.
CALL_MILLISECONDS = 100
# Of the 32 connections of the session that all share, some are left to others.
MOST_FETCHERS = 24


def fetchers_for(limits: Limits) -> int:
    """How many requests must be under way at once for using up such a budget."""
    calls_e3 = limits.tokens_per_second * CALL_MILLISECONDS // TOKENS_PER_CALL
    return min(calls_e3 // 1_000 + 1, MOST_FETCHERS)
