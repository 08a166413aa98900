import heapq
from array import array

SECOND_US = 1_000_000
SLOT_BITS = 29
SLOT_MASK = (1 << SLOT_BITS) - 1
NEVER = 0
LAST_SECOND = 2**32 - 1
SPARE_ENTRIES = 100_000
AHEAD_SECONDS = 3_600


class Schedule:
    """When something is due for a slot: at most one moment each, in whole seconds and never too early.

    Those of the next hour are in line, each as one number of the second and the slot; one that was overtaken by another
    moment stays until it comes. Later ones only have their place in the column.
    """

    def __init__(self) -> None:
        self._second = array("I")
        self._line: list[int] = []  # bounded by twice the slots and the spare ones
        self._line_end = 0
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def set(self, slot: int, moment_us: int | None) -> None:
        self._second.extend([NEVER] * (slot + 1 - len(self._second)))
        second = NEVER if moment_us is None else max(-(-moment_us // SECOND_US), 1)
        if second > LAST_SECOND:
            second = NEVER
        before = self._second[slot]
        self._second[slot] = second
        self._waiting += (second != NEVER) - (before != NEVER)
        if second not in (before, NEVER) and second < self._line_end:
            heapq.heappush(self._line, second << SLOT_BITS | slot)
            if len(self._line) > 2 * self._waiting + SPARE_ENTRIES:
                self._line_up()

    def next_due(self, now_us: int) -> int | None:
        """A slot whose moment has come, which it then has no more."""
        now = now_us // SECOND_US
        if now >= self._line_end:
            self._line_end = now + AHEAD_SECONDS
            self._line_up()
        while self._line and self._line[0] >> SLOT_BITS <= now:
            entry = heapq.heappop(self._line)
            slot = entry & SLOT_MASK
            if self._second[slot] == entry >> SLOT_BITS:
                self._second[slot] = NEVER
                self._waiting -= 1
                return slot
        return None

    def _line_up(self) -> None:
        end = self._line_end
        self._line = [second << SLOT_BITS | slot for slot, second in enumerate(self._second) if NEVER < second < end]
        heapq.heapify(self._line)
