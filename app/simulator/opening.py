"""How the markets that are open at the start look then: their books and figures, from the seed and their number."""

from functools import lru_cache

from app.simulator.catalog import Catalog
from app.simulator.changes import Book
from app.simulator.draws import draw, scrambled
from app.simulator.live_market import Figures
from app.simulator.phases import Phase
from app.simulator.plan import event_of, kind_of
from app.simulator.prices import ticks

CLOCK, BOOK, FIGURES = 21, 22, 23
EMPTY_BOOK = Book(0, [], [])
NO_FIGURES: Figures = (0, 0, 0, 0, 0)
LONGEST_SIDE = 12


@lru_cache(maxsize=1)  # asked for twice in a row: as a market's book, and for its figures
def opening_book(catalog: Catalog, index: int, depth: int = LONGEST_SIDE) -> Book:
    """Empty for markets that opened later, and for most combos, which nobody asked for yet."""
    if not _was_open(catalog, index):
        return EMPTY_BOOK
    book = Book(1 + draw(catalog.seed, CLOCK, index) % 5_000_000, *_opening_sides(catalog, index, depth))
    return emptied(book) if catalog.status(index, catalog.start_us) == "finalized" else book


def _opening_sides(catalog: Catalog, index: int, depth: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    bits = draw(catalog.seed, BOOK, index)
    structure = catalog.structure(index, catalog.start_us)
    is_quoted = bits % 8 < (2 if kind_of(event_of(index)[0]).is_combo else 7)
    if not is_quoted:
        return [], []
    prices = ticks(structure)
    count = len(prices)
    # The best YES bid stands at this tick and the YES ask, a NO bid from the other end, at least one above.
    best = count // 10 + (bits >> 8) % (count * 8 // 10)
    spread = 1 + (bits >> 24) % 3
    whole = catalog.whole_cents
    return (
        _levels(prices, best, scrambled(bits), depth, whole=whole),
        _levels(prices, count - 1 - best - spread, scrambled(bits + 1), depth, whole=whole),
    )


def emptied(book: Book) -> Book:
    """What settlement leaves: it is a change of its own, unless nothing rested."""
    return Book(book.clock + 1, [], []) if book.yes or book.no else book


def opening_figures(catalog: Catalog, index: int) -> Figures:
    book = opening_book(catalog, index, 1)
    bits = draw(catalog.seed, FIGURES, index)
    if not book.yes or not book.no or bits % 4 == 0:
        return NO_FIGURES
    last_price_e6 = book.yes[-1][0] if bits & 4 else 1_000_000 - book.no[-1][0]
    volume_e2 = 10_000 + 100 * ((bits >> 8) % 1_000_000)
    return (
        last_price_e6,
        min(volume_e2, 100 * (1 + (bits >> 32) % 500)),
        volume_e2,
        volume_e2 // 3,
        volume_e2 * last_price_e6,
    )


def _levels(prices: tuple[int, ...], top: int, bits: int, depth: int, *, whole: bool) -> list[tuple[int, int]]:
    """The best `depth` of a side's levels."""
    levels: list[tuple[int, int]] = []
    for _ in range(min(depth, bits % LONGEST_SIDE)):
        if top < 0:
            break
        bits = scrambled(bits)
        size_e2 = 100 * (1 + (bits & 0xFFF)) if whole or bits >> 12 & 3 else 1 + (bits >> 16 & 0xFFFFF)
        levels.append((prices[top], size_e2))
        top -= 1 + (bits >> 40) % 3
    return levels[::-1]


def _was_open(catalog: Catalog, index: int) -> bool:
    return catalog.plan.turn_us(index, Phase.OPENED) <= catalog.start_us
