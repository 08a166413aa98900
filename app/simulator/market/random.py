"""Numbers that look random but follow from their arguments, so that a million markets need no storage."""

from functools import lru_cache

MASK = (1 << 64) - 1
ODD = 0x9E3779B97F4A7C15


def scrambled(number: int) -> int:
    """Return the number through SplitMix64's finaliser: each of the 64 bits depends on every bit of the number."""
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB & MASK
    return number ^ (number >> 31)


def draw(seed: int, *where: int) -> int:
    """Return 64 bits that belong to a place, for example to a question and the market it is asked about."""
    if not where:
        return scrambled(seed + ODD & MASK)
    state = _draw_of_question(seed, where[0])
    for coordinate in where[1:]:
        state = scrambled(state + (coordinate + 1) * ODD & MASK)
    return state


# Cached: the same few questions are asked about every market.
@lru_cache(maxsize=256)
def _draw_of_question(seed: int, question: int) -> int:
    return scrambled(draw(seed) + (question + 1) * ODD & MASK)


def uuid_text(high: int, low: int) -> str:
    """Return two draws in the usual notation of a random UUID."""
    text = f"{high:016x}{low:016x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[low & 3]}{text[17:20]}-{text[20:]}"
