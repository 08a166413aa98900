"""What is known of a life at a moment; without a moment, how it ends."""

from app.simulator.kinds import Kind
from app.simulator.phases import Phase
from app.simulator.plan import Life

RAISED_FEE_MULTIPLIER = 2


def is_ahead(life: Life, phase: Phase, position: int, at_us: int | None) -> bool:
    return at_us is not None and at_us < life.turn_us(phase, position)


def close_us(kind: Kind, life: Life, position: int, at_us: int | None) -> int:
    """As last announced."""
    if is_ahead(life, Phase.CLOSE_MOVED, position, at_us):
        return life.turn_us(Phase.CREATED, position) + kind.first_close_us
    if is_ahead(life, Phase.REOPENED, position, at_us):
        return life.turn_us(Phase.CLOSED_FOR_NOW, position)
    return life.turn_us(Phase.CLOSED, position)


def updated_us(life: Life, position: int, at_us: int | None) -> int:
    created_us = life.turn_us(Phase.CREATED, position)
    latest_first = (created_us + after_us for after_us in reversed(life.turns.values()))
    return next((turned_us for turned_us in latest_first if at_us is None or turned_us <= at_us), created_us)


def fee_multiplier(life: Life, at_us: int | None) -> int | None:
    """What an event has instead of its series' own, for a while."""
    set_us, cleared_us = (life.turn_us(phase, 0) for phase in (Phase.FEES_SET, Phase.FEES_CLEARED))
    return RAISED_FEE_MULTIPLIER if at_us is not None and set_us and set_us <= at_us < cleared_us else None
