"""The exchange's integers as the decimal strings of its wire."""

from functools import lru_cache

ONE_DOLLAR_E6 = 1_000_000


@lru_cache(maxsize=32_768)
def dollars(price_e6: int) -> str:
    """Four decimals, as prices have; more, up to six, only where the value needs them."""
    sign = "-" if price_e6 < 0 else ""
    whole, millionths = divmod(abs(price_e6), 1_000_000)
    digits = f"{millionths:06d}"
    return f"{sign}{whole}.{digits[:4]}{digits[4:].rstrip('0')}"


def contracts(size_e2: int) -> str:
    """Not kept, unlike prices: sizes are too various to be met again."""
    if size_e2 < 0:
        return f"-{-size_e2 // 100}.{-size_e2 % 100:02d}"
    return f"{size_e2 // 100}.{size_e2 % 100:02d}"
