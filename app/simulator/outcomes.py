from app.simulator.draws import draw, scrambled
from app.simulator.phases import Phase
from app.simulator.plan import Plan, event_of, first_market_of, kind_of

LEGS = 12
LONGEST_LEG_DISTANCE = 300
# Which bits of an event's draw say how it ends; the lowest decide on its turns.
RESULT_BITS = 16


class Outcomes:
    """How markets end, and what combos are made of."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def result(self, index: int, at_us: int | None = None) -> str:
        """As determined, and the other way round once it was amended."""
        amended_us = self._plan.turn_us(index, Phase.AMENDED)
        is_amended = amended_us != 0 and (at_us is None or at_us >= amended_us)
        return "yes" if self._wins(index) != is_amended else "no"

    def legs(self, event: int) -> list[tuple[int, str]]:
        """Markets of earlier events, each with the side that has to win."""
        bits = draw(self._plan.seed, LEGS, event)
        chosen: dict[int, tuple[int, str]] = {}
        for _ in range(2 + bits % 3):
            bits = scrambled(bits)
            other = event - 1 - bits % min(event, LONGEST_LEG_DISTANCE)
            # The first event of every pattern is no combo.
            while kind_of(other).is_combo:
                other -= 1
            market = first_market_of(other) + (bits >> 16) % kind_of(other).markets_per_event
            chosen.setdefault(other, (market, "no" if bits >> 32 & 1 else "yes"))
        return list(chosen.values())

    def _wins(self, index: int) -> bool:
        event, position = event_of(index)
        kind = kind_of(event)
        if kind.is_combo:
            return all(self._wins(leg) == (side == "yes") for leg, side in self.legs(event))
        bits = self._plan.life(event).bits >> RESULT_BITS
        if kind.mutually_exclusive:
            return bits % kind.markets_per_event == position
        return bool(bits >> position & 1)
