"""Price structures, the prices each one allows, and numbers in the decimal notation of the exchange."""

from functools import cache, lru_cache

DOLLAR_E6 = 1_000_000
CENT_E6 = 10_000

# (start, end, step), all in millionths of a dollar
PriceRange = tuple[int, int, int]

STRUCTURES: dict[str, tuple[PriceRange, ...]] = {
    "linear_cent": ((0, 1_000_000, 10_000),),
    "deci_cent": ((0, 1_000_000, 1_000),),
    "tapered_deci_cent": ((0, 100_000, 1_000), (100_000, 900_000, 10_000), (900_000, 1_000_000, 1_000)),
    "center_centi_edge_centi_cent": ((0, 1_000_000, 100),),
}


@cache
def ticks(structure: str) -> tuple[int, ...]:
    """Return every price between zero and a dollar, ascending. Symmetric: a dollar less a tick is a tick."""
    inside = {price for start, end, step in STRUCTURES[structure] for price in range(start, end, step)}
    return tuple(sorted(inside - {0}))


def dollars(amount_e6: int) -> str:
    """Return the amount as the exchange writes prices: four decimals, or six if four do not suffice."""
    sign = "-" if amount_e6 < 0 else ""
    whole, rest = divmod(abs(amount_e6), DOLLAR_E6)
    if rest % 100:
        return f"{sign}{whole}.{rest:06}"
    return f"{sign}{whole}.{rest // 100:04}"


def range_payload(structure: str) -> list[dict[str, str]]:
    return [
        {"start": dollars(start), "end": dollars(end), "step": dollars(step)}
        for start, end, step in STRUCTURES[structure]
    ]


# The exchange's integers as the decimal strings of its wire.

ONE_DOLLAR_E6 = 1_000_000
CENT_E6 = 10_000


@lru_cache(maxsize=32_768)
def dollars_text(price_e6: int) -> str:
    """Return the price with four decimals, or with up to six where the value needs them."""
    sign = "-" if price_e6 < 0 else ""
    whole, millionths = divmod(abs(price_e6), 1_000_000)
    digits = f"{millionths:06d}"
    return f"{sign}{whole}.{digits[:4]}{digits[4:].rstrip('0')}"


def contracts(size_e2: int) -> str:
    """Return the size with two decimals. Not cached, unlike prices: sizes vary too much to recur."""
    if size_e2 < 0:
        return f"-{-size_e2 // 100}.{-size_e2 % 100:02d}"
    return f"{size_e2 // 100}.{size_e2 % 100:02d}"
