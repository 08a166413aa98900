"""The kinds of events on the exchange: how many markets each has, its prices, its texts and its life."""

from enum import Enum
from typing import NamedTuple

# The life cycle: the turns that a market can take, and the status that follows.

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US


class Phase(Enum):
    """A turn in a market's life, with its status from then on; None if the turn does not change the status."""

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

    # Hash by identity: Enum's own hash is a Python function, and phases are looked up several times for each market of
    # a page.
    __hash__ = object.__hash__

    def __init__(self, label: str, status: str | None) -> None:
        self.label = label
        self.status = status


class Turn(NamedTuple):
    """One entry of a life's plan: its time after creation, and one in how many events takes it (1, 2, 4 or 8)."""

    after_us: int
    phase: Phase
    one_in: int = 1


# Fees are set for an event as a whole; every other turn is taken by each of its markets.
EVENT_PHASES = frozenset({Phase.FEES_SET, Phase.FEES_CLEARED})
WAKING = frozenset({Phase.OPENED, Phase.RESUMED, Phase.RESUMED_AGAIN, Phase.REOPENED})
RESTING = frozenset({Phase.PAUSED, Phase.PAUSED_AGAIN, Phase.CLOSED_FOR_NOW, Phase.CLOSED})
# At these turns the exchange cancels every resting order.
CANCELLING = frozenset({Phase.RESUMED, Phase.RESUMED_AGAIN})


class Kind(NamedTuple):
    """A kind of event with all its parameters."""

    prefix: str  # of the series' tickers
    title: str
    category: str
    frequency: str
    markets_per_event: int
    structure: str
    finer_structure: str  # after Phase.STRUCTURE; equal to `structure` if that never happens
    exchange_index: int
    is_combo: bool
    mutually_exclusive: bool
    collateral_return_type: str
    fee_type: str
    first_close_us: int  # announced at creation, relative to it; differs from the plan's if the close is moved
    life: tuple[Turn, ...]


def seconds(count: int) -> int:
    return count * SECOND_US


LONG_END = (
    Turn(14 * DAY_US, Phase.CLOSED),
    Turn(14 * DAY_US + HOUR_US, Phase.DETERMINED),
    Turn(14 * DAY_US + 2 * HOUR_US, Phase.SETTLED),
)

WEATHER = Kind(
    prefix="KXTEMP", title="Highest temperature in {topic}", category="Climate and Weather", frequency="daily",
    markets_per_event=6, structure="linear_cent", finer_structure="linear_cent", exchange_index=0, is_combo=False,
    mutually_exclusive=True, collateral_return_type="MECNET", fee_type="quadratic", first_close_us=14 * DAY_US,
    life=(
        Turn(0, Phase.CREATED), Turn(seconds(1), Phase.OPENED), Turn(seconds(20), Phase.FEES_SET, 2),
        Turn(seconds(50), Phase.FEES_CLEARED, 2), *LONG_END,
    ),
)  # fmt: skip

PRICE_LADDER = Kind(
    prefix="KXPRICE", title="Price of {topic}", category="Crypto", frequency="weekly",
    markets_per_event=4, structure="linear_cent", finer_structure="deci_cent", exchange_index=2, is_combo=False,
    mutually_exclusive=False, collateral_return_type="DIRECNET", fee_type="quadratic", first_close_us=14 * DAY_US,
    life=(
        Turn(0, Phase.CREATED), Turn(seconds(1), Phase.OPENED), Turn(seconds(40), Phase.STRUCTURE, 2),
        Turn(seconds(90), Phase.PAUSED, 4), Turn(seconds(95), Phase.RESUMED, 4),
        Turn(seconds(130), Phase.PAUSED_AGAIN, 4), Turn(seconds(134), Phase.RESUMED_AGAIN, 4), *LONG_END,
    ),
)  # fmt: skip

GAME = Kind(
    prefix="KXGAME", title="Winner of the {topic} match", category="Sports", frequency="custom",
    markets_per_event=2, structure="tapered_deci_cent", finer_structure="tapered_deci_cent", exchange_index=3,
    is_combo=False, mutually_exclusive=True, collateral_return_type="MECNET", fee_type="quadratic_with_maker_fees",
    first_close_us=4 * HOUR_US,
    life=(
        Turn(0, Phase.CREATED), Turn(seconds(60), Phase.OPENED), Turn(seconds(100), Phase.PAUSED, 2),
        Turn(seconds(110), Phase.RESUMED, 2), Turn(HOUR_US, Phase.CLOSE_MOVED), Turn(3 * HOUR_US, Phase.CLOSED),
        Turn(3 * HOUR_US + MINUTE_US, Phase.DETERMINED), Turn(3 * HOUR_US + 6 * MINUTE_US, Phase.SETTLED),
    ),
)  # fmt: skip

QUARTER_HOUR = Kind(
    prefix="KX15M", title="{topic} up in the next 15 minutes", category="Crypto", frequency="fifteen_min",
    markets_per_event=1, structure="tapered_deci_cent", finer_structure="tapered_deci_cent", exchange_index=2,
    is_combo=False, mutually_exclusive=False, collateral_return_type="", fee_type="quadratic",
    first_close_us=15 * MINUTE_US + seconds(5),
    life=(
        Turn(0, Phase.CREATED), Turn(seconds(5), Phase.OPENED), Turn(seconds(6), Phase.METADATA),
        Turn(15 * MINUTE_US + seconds(5), Phase.CLOSED), Turn(15 * MINUTE_US + seconds(8), Phase.DETERMINED),
        Turn(15 * MINUTE_US + seconds(9), Phase.DISPUTED, 8), Turn(15 * MINUTE_US + seconds(12), Phase.AMENDED, 8),
        Turn(15 * MINUTE_US + seconds(15), Phase.SETTLED),
    ),
)  # fmt: skip

# A whole life within half a minute, so that a short run includes every turn.
QUICK = Kind(
    prefix="KXQUICK", title="Is the next number drawn for {topic} even", category="Mentions", frequency="one_off",
    markets_per_event=1, structure="linear_cent", finer_structure="deci_cent", exchange_index=0, is_combo=False,
    mutually_exclusive=False, collateral_return_type="", fee_type="flat", first_close_us=MINUTE_US,
    life=(
        Turn(0, Phase.CREATED), Turn(seconds(2), Phase.OPENED), Turn(seconds(3), Phase.METADATA),
        Turn(seconds(4), Phase.FEES_SET, 2), Turn(seconds(5), Phase.STRUCTURE, 2), Turn(seconds(7), Phase.PAUSED),
        Turn(seconds(9), Phase.RESUMED), Turn(seconds(11), Phase.CLOSE_MOVED),
        Turn(seconds(12), Phase.CLOSED_FOR_NOW, 2), Turn(seconds(14), Phase.REOPENED, 2),
        Turn(seconds(15), Phase.FEES_CLEARED, 2),
        Turn(seconds(18), Phase.CLOSED), Turn(seconds(20), Phase.DETERMINED), Turn(seconds(21), Phase.DISPUTED, 4),
        Turn(seconds(22), Phase.AMENDED, 4), Turn(seconds(24), Phase.SETTLED),
    ),
)  # fmt: skip

ELECTION = Kind(
    prefix="KXVOTE", title="Next government of {topic}", category="Politics", frequency="annual",
    markets_per_event=1, structure="linear_cent", finer_structure="linear_cent", exchange_index=0, is_combo=False,
    mutually_exclusive=False, collateral_return_type="", fee_type="quadratic", first_close_us=400 * DAY_US,
    life=(Turn(0, Phase.CREATED), Turn(seconds(1), Phase.OPENED), Turn(400 * DAY_US, Phase.CLOSED),
          Turn(401 * DAY_US, Phase.DETERMINED), Turn(402 * DAY_US, Phase.SETTLED)),
)  # fmt: skip

COMBO = Kind(
    prefix="KXMVESPORTS", title="Combination on {topic}", category="Sports", frequency="custom",
    markets_per_event=1, structure="center_centi_edge_centi_cent", finer_structure="center_centi_edge_centi_cent",
    exchange_index=1, is_combo=True, mutually_exclusive=False, collateral_return_type="",
    fee_type="quadratic_with_combo_maker_fees", first_close_us=14 * DAY_US,
    life=(Turn(0, Phase.CREATED), Turn(seconds(1), Phase.OPENED), *LONG_END),
)  # fmt: skip

QUICK_COMBO = COMBO._replace(
    prefix="KXMVEQUICK",
    first_close_us=seconds(20),
    life=(
        Turn(0, Phase.CREATED), Turn(seconds(1), Phase.OPENED), Turn(seconds(8), Phase.PAUSED, 2),
        Turn(seconds(10), Phase.RESUMED, 2), Turn(seconds(20), Phase.CLOSED), Turn(seconds(22), Phase.DETERMINED),
        Turn(seconds(25), Phase.SETTLED),
    ),
)  # fmt: skip

# The order in which events are created, repeated: 11 events with 20 markets, a quarter of them combos.
PATTERN: tuple[Kind, ...] = (
    WEATHER, COMBO, PRICE_LADDER, COMBO, QUICK, GAME, COMBO, QUARTER_HOUR, QUICK_COMBO, ELECTION, COMBO,
)  # fmt: skip

TOPICS = (
    "Aldport", "Bexley", "Corvane", "Dunmere", "Eastholm", "Farrow", "Glenhurst", "Hollin",
    "Ivarstad", "Jorvale", "Kestrel", "Lindow", "Marwick", "Norcombe", "Oakhaven", "Pellworth",
)  # fmt: skip
