"""What a market's times mean: opening and closing are announced by nobody."""

from zlib import crc32

from app.registry.market import Market

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
# Thousands of markets close at the same second: their books are not all asked for in one.
BEFORE_CLOSING_SECONDS = range(3, 33)
BEFORE_OPENING_US = 5 * MINUTE_US
AFTER_CLOSING_US = 10 * MINUTE_US
# REST answers come through a cache: they may tell what was, before a moment this short ago.
LAG_US = MINUTE_US


def is_to_be_recorded(market: Market, now_us: int) -> bool:
    """From shortly before its opening, so that a subscription is there in time, until no change can come any more."""
    if market.status == "initialized":
        return market.open_us is not None and now_us >= market.open_us - BEFORE_OPENING_US
    if market.status == "closed":
        return market.close_us is None or now_us < market.close_us + AFTER_CLOSING_US
    return market.status in ("active", "inactive")


def turned(market: Market, now_us: int, since_us: int = 0) -> Market:
    """As it is after the moments since then, its opening and its closing, have passed."""
    if market.status == "initialized" and _is_within(market.open_us, since_us, now_us):
        market = market._replace(status="active")
    if market.status in ("active", "inactive") and _is_within(market.close_us, since_us, now_us):
        market = market._replace(status="closed")
    return market


def is_about_to_close(market: Market, now_us: int) -> bool:
    """From some seconds before its closing, each market from other ones."""
    if market.status not in ("active", "inactive") or market.close_us is None:
        return False
    return _about_to_close_us(market, market.close_us) <= now_us < market.close_us


def next_moment_us(market: Market, after_us: int) -> int | None:
    """When the clock alone changes its status, whether it is to be recorded, or whether it is about to close."""
    return min((moment for moment in _moments_us(market) if moment > after_us), default=None)


def _moments_us(market: Market) -> tuple[int, ...]:
    if market.status == "initialized" and market.open_us is not None:
        return market.open_us - BEFORE_OPENING_US, market.open_us
    if market.status in ("active", "inactive") and market.close_us is not None:
        return _about_to_close_us(market, market.close_us), market.close_us
    if market.status == "closed" and market.close_us is not None:
        return (market.close_us + AFTER_CLOSING_US,)
    return ()


def _about_to_close_us(market: Market, close_us: int) -> int:
    seconds = BEFORE_CLOSING_SECONDS[crc32(market.ticker.encode()) % len(BEFORE_CLOSING_SECONDS)]
    return close_us - seconds * SECOND_US


def _is_within(moment_us: int | None, since_us: int, now_us: int) -> bool:
    return moment_us is not None and since_us < moment_us <= now_us
