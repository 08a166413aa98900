import heapq
from typing import NamedTuple

from app.simulator.kinds import PATTERN
from app.simulator.phases import EVENT_PHASES, Phase
from app.simulator.plan import BETWEEN_MARKETS_US, EVENTS_PER_CYCLE, Plan, first_market_of


class Occasion(NamedTuple):
    """A market takes a turn in its life; or its event does, of which it is the first market."""

    at_us: int
    market: int
    phase: Phase


class Timetable:
    """Every turn of every market from a moment on, in order of time.

    Turns of one kind of event come in the order of the events' numbers. So one place in each such row is all that is
    kept, whatever the number of markets.
    """

    def __init__(self, plan: Plan, after_us: int) -> None:
        self._plan = plan
        self._rows = [(slot, turn) for slot, kind in enumerate(PATTERN) for turn in kind.life]
        self._next: list[tuple[int, int, int, int]] = []
        for row, (slot, turn) in enumerate(self._rows):
            self._next.append(self._place(row, plan.first_event_after(after_us, turn.after_us) + slot))
        heapq.heapify(self._next)
        while self.next_us <= after_us:
            self.pop()

    @property
    def next_us(self) -> int:
        return self._next[0][0]

    def pop(self) -> Occasion:
        at_us, row, event, position = self._next[0]
        slot, turn = self._rows[row]
        if position + 1 < PATTERN[slot].markets_per_event and turn.phase not in EVENT_PHASES:
            following = (at_us + BETWEEN_MARKETS_US, row, event, position + 1)
        else:
            following = self._place(row, event + EVENTS_PER_CYCLE)
        heapq.heapreplace(self._next, following)
        return Occasion(at_us, first_market_of(event) + position, turn.phase)

    def _place(self, row: int, event: int) -> tuple[int, int, int, int]:
        """The next event from this one on that takes the turn at all."""
        phase = self._rows[row][1].phase
        while phase not in self._plan.life(event).turns:
            event += EVENTS_PER_CYCLE
        return self._plan.life(event).turn_us(phase, 0), row, event, 0
