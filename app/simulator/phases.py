"""The life cycle: what can become of a market, and the status that follows."""

from enum import Enum
from typing import NamedTuple

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US


class Phase(Enum):
    """A turn in a market's life, with its status from then on; None: the turn leaves the status alone."""

    CREATED = ("created", "initialized")
    OPENED = ("opened", "active")
    PAUSED = ("paused", "inactive")
    RESUMED = ("resumed", "active")
    PAUSED_AGAIN = ("paused_again", "inactive")
    RESUMED_AGAIN = ("resumed_again", "active")
    CLOSE_MOVED = ("close_moved", None)
    CLOSED_FOR_NOW = ("closed_for_now", "closed")
    REOPENED = ("reopened", "active")
    METADATA = ("metadata", None)
    STRUCTURE = ("structure", None)
    FEES_SET = ("fees_set", None)
    FEES_CLEARED = ("fees_cleared", None)
    CLOSED = ("closed", "closed")
    DETERMINED = ("determined", "determined")
    DISPUTED = ("disputed", "disputed")
    AMENDED = ("amended", "amended")
    SETTLED = ("settled", "finalized")

    # By identity: Enum's own is a function in Python, and phases are looked up several times for each market of a page.
    __hash__ = object.__hash__

    def __init__(self, label: str, status: str | None) -> None:
        self.label = label
        self.status = status


class Turn(NamedTuple):
    """One line of a life's plan: how long after its creation, and for one in how many of the events (1, 2, 4 or 8)."""

    after_us: int
    phase: Phase
    one_in: int = 1


# Fees are set for events; every other turn is one of each of its markets.
EVENT_PHASES = frozenset({Phase.FEES_SET, Phase.FEES_CLEARED})
WAKING = frozenset({Phase.OPENED, Phase.RESUMED, Phase.RESUMED_AGAIN, Phase.REOPENED})
RESTING = frozenset({Phase.PAUSED, Phase.PAUSED_AGAIN, Phase.CLOSED_FOR_NOW, Phase.CLOSED})
# The exchange cancels every resting order then.
CANCELLING = frozenset({Phase.RESUMED, Phase.RESUMED_AGAIN})
