import heapq
from array import array

SECOND_US = 1_000_000
SLOT_BITS = 29
SLOT_MASK = (1 << SLOT_BITS) - 1
NEVER = 0
LAST_SECOND = 2**32 - 1
SPARE_ENTRIES = 100_000


class Schedule:
    """When something is due for a slot: at most one moment each, in whole seconds and never too early.

    An entry is one number, of the second and the slot. One that was overtaken by another moment stays until it comes.
    """

    def __init__(self) -> None:
        self._second = array("I")
        self._entries: list[int] = []  # bounded by twice the slots and the spare ones
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def set(self, slot: int, moment_us: int | None) -> None:
        self._second.extend([NEVER] * (slot + 1 - len(self._second)))
        second = NEVER if moment_us is None else max(-(-moment_us // SECOND_US), 1)
        if second > LAST_SECOND:
            second = NEVER
        before = self._second[slot]
        if second == before:
            return
        self._second[slot] = second
        self._waiting += (second != NEVER) - (before != NEVER)
        if second != NEVER:
            heapq.heappush(self._entries, second << SLOT_BITS | slot)
            self._shed()

    def next_due(self, now_us: int) -> int | None:
        """A slot whose moment has come, which it then has no more."""
        now = now_us // SECOND_US
        while self._entries and self._entries[0] >> SLOT_BITS <= now:
            entry = heapq.heappop(self._entries)
            slot = entry & SLOT_MASK
            if self._second[slot] == entry >> SLOT_BITS:
                self._second[slot] = NEVER
                self._waiting -= 1
                return slot
        return None

    def _shed(self) -> None:
        if len(self._entries) > 2 * self._waiting + SPARE_ENTRIES:
            self._entries = [second << SLOT_BITS | slot for slot, second in enumerate(self._second) if second != NEVER]
            heapq.heapify(self._entries)
