"""The times of creation and of every turn of everything in the catalog, as arithmetic on the numbers of events."""

from functools import cache
from typing import NamedTuple

from app.simulator.market.kinds import DAY_US, PATTERN, SECOND_US, Kind, Phase
from app.simulator.market.random import draw

EVENTS_PER_CYCLE = len(PATTERN)
MARKETS_PER_CYCLE = sum(kind.markets_per_event for kind in PATTERN)
FIRST_MARKET = tuple(sum(kind.markets_per_event for kind in PATTERN[:slot]) for slot in range(EVENTS_PER_CYCLE))
SLOT_OF_MARKET = tuple(slot for slot, kind in enumerate(PATTERN) for _ in range(kind.markets_per_event))

LONGEST_CYCLE_US = 30 * SECOND_US
# Everything that exists at the start was created within this time, so that most of a large catalog is still open.
PAST_US = 5 * DAY_US
BETWEEN_MARKETS_US = 1_000

LIFE, JITTER = 1, 2
LIVES_KEPT = 4_096
# Turns that occur together or not at all share their bits of the event's draw. Shares are 1, 1/2, 1/4 or 1/8.
BITS = {
    Phase.FEES_SET: 0,
    Phase.FEES_CLEARED: 0,
    Phase.STRUCTURE: 3,
    Phase.PAUSED: 6,
    Phase.RESUMED: 6,
    Phase.PAUSED_AGAIN: 6,
    Phase.RESUMED_AGAIN: 6,
    Phase.DISPUTED: 9,
    Phase.AMENDED: 9,
    Phase.CLOSED_FOR_NOW: 12,
    Phase.REOPENED: 12,
}


def _variant_mask(kind: Kind) -> int:
    """Return the bits of an event's draw that decide its turns."""
    mask = 0
    for turn in kind.life:
        mask |= turn.one_in - 1 << BITS.get(turn.phase, 0)
    return mask


VARIANT_MASKS = tuple(_variant_mask(kind) for kind in PATTERN)


class Life(NamedTuple):
    """The times of an event's turns, relative to its creation."""

    created_us: int
    bits: int  # the event's own draw, from which other properties are derived as well
    turns: dict[Phase, int]

    def turn_us(self, phase: Phase, position: int) -> int:
        """Return when the market at this position takes the turn; 0 if never."""
        after_us = self.turns.get(phase)
        return 0 if after_us is None else self.created_us + after_us + position * BETWEEN_MARKETS_US


class SimPlan:
    """The life of every event, past and future, as a function of its number. Creation times rise with the numbers."""

    def __init__(self, seed: int, markets: int, start_us: int) -> None:
        self.seed = seed
        cycles = max(1, markets // MARKETS_PER_CYCLE)
        self.cycle_us = min(LONGEST_CYCLE_US, PAST_US // cycles)
        self._slot_us = self.cycle_us // EVENTS_PER_CYCLE
        self._lives: dict[int, Life] = {}
        self._base_us = 0
        # The first market that does not exist at the start is created right after it.
        self._base_us = start_us + 1 - self.market_created_us(markets)

    def market_created_us(self, index: int) -> int:
        event, position = event_of(index)
        return self.created_us(event) + position * BETWEEN_MARKETS_US

    def created_us(self, event: int) -> int:
        cycle, slot = divmod(event, EVENTS_PER_CYCLE)
        jitter_us = draw(self.seed, JITTER, event) % (self._slot_us // 2)
        return self._base_us + cycle * self.cycle_us + slot * self._slot_us + jitter_us

    def markets_created(self, at_us: int) -> int:
        """Return the number of markets that exist at a moment; exactly the lower numbers exist."""
        index = max(0, (at_us - self._base_us) // self.cycle_us) * MARKETS_PER_CYCLE
        while self.market_created_us(index) <= at_us:
            index += 1
        return index

    def first_event_after(self, at_us: int, after_us: int) -> int:
        """Return a lower bound for the first event whose turn, `after_us` past its creation, follows a moment."""
        cycle = (at_us - after_us - self._base_us) // self.cycle_us - 1
        return max(0, cycle) * EVENTS_PER_CYCLE

    def life(self, event: int) -> Life:
        known = self._lives.get(event)
        if known is None:
            if len(self._lives) >= LIVES_KEPT:
                self._lives.clear()
            bits = draw(self.seed, LIFE, event)
            slot = event % EVENTS_PER_CYCLE
            known = self._lives[event] = Life(self.created_us(event), bits, _turns(slot, bits & VARIANT_MASKS[slot]))
        return known

    def status(self, index: int, at_us: int) -> str:
        event, position = event_of(index)
        life = self.life(event)
        age_us = at_us - life.created_us - position * BETWEEN_MARKETS_US
        for phase, after_us in reversed(life.turns.items()):
            if age_us >= after_us and phase.status is not None:
                return phase.status
        return "initialized"

    def turn_us(self, index: int, phase: Phase) -> int:
        """Return when a market takes a turn; 0 if never."""
        event, position = event_of(index)
        return self.life(event).turn_us(phase, position)


@cache
def _turns(slot: int, variant: int) -> dict[Phase, int]:
    """Return the turns of an event of this kind with their times after its creation, in order."""
    return {
        turn.phase: turn.after_us
        for turn in PATTERN[slot].life
        if turn.one_in == 1 or variant >> BITS[turn.phase] & turn.one_in - 1 == 0
    }


def event_of(index: int) -> tuple[int, int]:
    """Return a market's event and its position in the event."""
    cycle, offset = divmod(index, MARKETS_PER_CYCLE)
    slot = SLOT_OF_MARKET[offset]
    return cycle * EVENTS_PER_CYCLE + slot, offset - FIRST_MARKET[slot]


def kind_of(event: int) -> Kind:
    return PATTERN[event % EVENTS_PER_CYCLE]


def first_market_of(event: int) -> int:
    cycle, slot = divmod(event, EVENTS_PER_CYCLE)
    return cycle * MARKETS_PER_CYCLE + FIRST_MARKET[slot]
