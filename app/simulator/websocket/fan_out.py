from array import array
from typing import Generic, TypeVar

Subscriber = TypeVar("Subscriber")


class FanOut(Generic[Subscriber]):
    """Who listens to which market, in four bytes a market: markets with the same listeners share one group.

    Millions of subscriptions make few different groups, because clients subscribe to long runs of markets.
    """

    def __init__(self) -> None:
        self._group_of = array("I")
        self._groups: list[tuple[Subscriber, ...]] = [()]
        self._populations = [0]
        self._number_of: dict[tuple[Subscriber, ...], int] = {(): 0}
        self._free: list[int] = []

    def listeners(self, market: int) -> tuple[Subscriber, ...]:
        return self._groups[self._group_of[market]] if market < len(self._group_of) else ()

    def add(self, market: int, subscriber: Subscriber) -> None:
        listeners = self.listeners(market)
        if subscriber not in listeners:
            self._move(market, (*listeners, subscriber))

    def remove(self, market: int, subscriber: Subscriber) -> None:
        listeners = self.listeners(market)
        if subscriber in listeners:
            self._move(market, tuple(other for other in listeners if other is not subscriber))

    @property
    def group_count(self) -> int:
        return len(self._number_of)

    def _move(self, market: int, listeners: tuple[Subscriber, ...]) -> None:
        if market >= len(self._group_of):
            self._group_of.extend([0] * (max(market + 1, len(self._group_of) * 5 // 4) - len(self._group_of)))
        number = self._number_of.get(listeners)
        if number is None:
            number = self._new_group(listeners)
        self._leave(self._group_of[market])
        self._group_of[market] = number
        self._populations[number] += 1

    def _new_group(self, listeners: tuple[Subscriber, ...]) -> int:
        if self._free:
            number = self._free.pop()
            self._groups[number] = listeners
        else:
            number = len(self._groups)
            self._groups.append(listeners)
            self._populations.append(0)
        self._number_of[listeners] = number
        return number

    def _leave(self, number: int) -> None:
        # Group 0 is that of nobody: it has no members to count and lives for ever.
        if number == 0:
            return
        self._populations[number] -= 1
        if self._populations[number] == 0:
            del self._number_of[self._groups[number]]
            self._groups[number] = ()
            self._free.append(number)
