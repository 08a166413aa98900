"""Lists of the exchange. Their objects stay as they came: numbers keep their text until somebody decodes them exactly.

An object is a view into its page, and holds all of it in memory: decode it, or keep a copy of it."""

from collections.abc import Callable, Iterator

import msgspec
from msgspec import Raw

from app.kalshi.rest_errors import UnexpectedAnswerError


class Page(msgspec.Struct, kw_only=True):
    objects: list[Raw] | None
    cursor: str | None = None


class Markets(Page):
    objects: list[Raw] | None = msgspec.field(name="markets")


class Events(Page):
    objects: list[Raw] | None = msgspec.field(name="events")


class SeriesList(Page):
    objects: list[Raw] | None = msgspec.field(name="series")


class Trades(Page):
    objects: list[Raw] | None = msgspec.field(name="trades")


class OrderBooks(Page):
    objects: list[Raw] | None = msgspec.field(name="orderbooks")


class Candlesticks(Page):
    objects: list[Raw] | None = msgspec.field(name="candlesticks")


def objects_of(fetch: Callable[[str | None], Page]) -> Iterator[Raw]:
    """All objects of all pages. The last page's cursor is empty, null or absent."""
    guard = CursorGuard()
    cursor: str | None = None
    while True:
        page = fetch(cursor)
        yield from page.objects or ()
        cursor = page.cursor
        if not cursor:
            return
        guard.check(cursor)


class CursorGuard:
    """Refuses a walk that runs in a circle, of any length, and remembers a single cursor.

    It remembers the 1st, 2nd, 4th, 8th, … one: once the walk is in the circle and the steps to the next change are more
    than the circle is long, it comes by again (Brent's algorithm).
    """

    def __init__(self) -> None:
        self._remembered: str | None = None
        self._steps = 0
        self._steps_until_change = 1

    def check(self, cursor: str) -> None:
        if cursor == self._remembered:
            raise UnexpectedAnswerError("The pages run in a circle.", f"This cursor came before: {cursor[:100]}")
        self._steps += 1
        if self._steps == self._steps_until_change:
            self._remembered = cursor
            self._steps_until_change *= 2
