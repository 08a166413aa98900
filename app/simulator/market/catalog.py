"""The catalog: every series, event and market, computed from the seed and its number instead of being stored.

A question may carry a moment: then the answer is what is known at that moment. Without one it is how things end.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from app.simulator.market import objects
from app.simulator.market.kinds import PATTERN, TOPICS, Kind, Phase
from app.simulator.market.objects import SimEvent, SimLeg, SimMarket, SimSeries
from app.simulator.market.plan import EVENTS_PER_CYCLE, Life, SimPlan, event_of, first_market_of, kind_of
from app.simulator.market.prices import STRUCTURES
from app.simulator.market.profiles import PROFILES, QUIET
from app.simulator.market.random import draw, scrambled, uuid_text

# What is known of an event's life at a moment; without a moment, how it ends.

RAISED_FEE_MULTIPLIER = 2


def is_ahead(life: Life, phase: Phase, position: int, at_us: int | None) -> bool:
    """Return True if the phase is still ahead of the moment; never without a moment."""
    return at_us is not None and at_us < life.turn_us(phase, position)


def close_us(kind: Kind, life: Life, position: int, at_us: int | None) -> int:
    """Return the closing time as last announced."""
    if is_ahead(life, Phase.CLOSE_MOVED, position, at_us):
        return life.turn_us(Phase.CREATED, position) + kind.first_close_us
    if is_ahead(life, Phase.REOPENED, position, at_us):
        return life.turn_us(Phase.CLOSED_FOR_NOW, position)
    return life.turn_us(Phase.CLOSED, position)


def updated_us(life: Life, position: int, at_us: int | None) -> int:
    """Return the time of the market's latest turn."""
    created_us = life.turn_us(Phase.CREATED, position)
    latest_first = (created_us + after_us for after_us in reversed(life.turns.values()))
    return next((turned_us for turned_us in latest_first if at_us is None or turned_us <= at_us), created_us)


def fee_multiplier(life: Life, at_us: int | None) -> int | None:
    """Return the multiplier that overrides the series' own for a while, or None."""
    set_us, cleared_us = (life.turn_us(phase, 0) for phase in (Phase.FEES_SET, Phase.FEES_CLEARED))
    return RAISED_FEE_MULTIPLIER if at_us is not None and set_us and set_us <= at_us < cleared_us else None


LEGS = 12
LONGEST_LEG_DISTANCE = 300
# The bits of an event's draw that decide how it ends; the lowest ones decide its turns.
RESULT_BITS = 16


class Outcomes:
    """The results of markets and the legs of combos."""

    def __init__(self, plan: SimPlan) -> None:
        self._plan = plan

    def result(self, index: int, at_us: int | None = None) -> str:
        """Return the result as determined, reversed once it was amended."""
        amended_us = self._plan.turn_us(index, Phase.AMENDED)
        is_amended = amended_us != 0 and (at_us is None or at_us >= amended_us)
        return "yes" if self._wins(index) != is_amended else "no"

    def legs(self, event: int) -> list[tuple[int, str]]:
        """Return markets of earlier events, each with the side that has to win."""
        bits = draw(self._plan.seed, LEGS, event)
        chosen: dict[int, tuple[int, str]] = {}
        for _ in range(2 + bits % 3):
            bits = scrambled(bits)
            other = event - 1 - bits % min(event, LONGEST_LEG_DISTANCE)
            # Terminates: the first event of every pattern is no combo.
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


IDENTITY = 11
# The bits of an event's draw that decide its strike.
STRIKE_BITS = 32
ID_BITS = 48
KEPT_EVENTS = 4_096
SERIES_KINDS: tuple[Kind, ...] = tuple(dict.fromkeys(PATTERN))


class Catalog:
    """Every series, event and market that exists or will exist, each computed from the seed and its number on demand.

    Numbers rise with the time of creation, so that counting down from count() is newest first. A method with a moment
    answers with what is known then; without one, with how things end.
    """

    def __init__(
        self, seed: int, markets: int, start_us: int, *, whole_cents: bool = False, profile: str = QUIET
    ) -> None:
        self.seed = seed
        self.profile = PROFILES[profile]
        self.start_us = start_us
        self.initial_markets = markets
        self.whole_cents = whole_cents  # the older wire has no finer prices and no fractions of contracts
        self.plan = SimPlan(seed, markets, start_us)
        self._outcomes = Outcomes(self.plan)
        # Cached: a page shows an event's markets side by side, and combos name events of the near past.
        self.event_ticker = lru_cache(maxsize=KEPT_EVENTS)(self._event_ticker)
        self._id_key = draw(seed, IDENTITY) & (1 << ID_BITS) - 1

    def __len__(self) -> int:
        """Return the number of markets at the start; count() includes later ones."""
        return self.initial_markets

    def is_emptied(self, index: int, at_us: int) -> bool:
        """Return whether the market's book is empty because the market has settled, or has closed for good."""
        if self.status(index, at_us) == "finalized":
            return True
        closed_us = self.plan.turn_us(index, Phase.CLOSED) if self.profile.empties_at_close else 0
        return 0 < closed_us <= at_us

    def count(self, at_us: int) -> int:
        return self.plan.markets_created(at_us)

    def event_count(self, at_us: int) -> int:
        count = self.count(at_us)
        return event_of(count - 1)[0] + 1 if count else 0

    @property
    def series_count(self) -> int:
        return len(SERIES_KINDS) * len(TOPICS)

    def status(self, index: int, at_us: int) -> str:
        return self.plan.status(index, at_us)

    def ticker(self, index: int) -> str:
        event, position = event_of(index)
        return objects.market_ticker(self.event_ticker(event), position)

    def _event_ticker(self, event: int) -> str:
        return objects.event_ticker(self._series_ticker(event), self.plan.life(event).created_us, event)

    def market_id(self, index: int) -> str:
        low = draw(self.seed, IDENTITY, index)
        return uuid_text(draw(low), low >> ID_BITS << ID_BITS | index ^ self._id_key)

    def index_of(self, ticker: str) -> int | None:
        """Return the number of the market with this ticker, or None."""
        event, position = objects.event_number(ticker), objects.market_position(ticker)
        if event is None or position is None or position >= kind_of(event).markets_per_event:
            return None
        index = first_market_of(event) + position
        return index if self.ticker(index) == ticker else None

    def index_of_id(self, market_id: str) -> int | None:
        """Return the number of the market with this id, or None."""
        digits = market_id[-ID_BITS // 4 :]
        try:
            index = int(digits, 16) ^ self._id_key
        except ValueError:
            return None
        return index if self.market_id(index) == market_id else None

    def index_of_event(self, ticker: str) -> int | None:
        event = objects.event_number(ticker)
        return event if event is not None and self.event_ticker(event) == ticker else None

    def index_of_series(self, ticker: str) -> int | None:
        return next((index for index in range(self.series_count) if self.series(index).ticker == ticker), None)

    def events_of_series(self, series: int, count: int) -> Iterator[int]:
        """Yield the series' events among the first `count` events, newest first."""
        kind, topic = SERIES_KINDS[series // len(TOPICS)], series % len(TOPICS)
        slots = [slot for slot in reversed(range(EVENTS_PER_CYCLE)) if PATTERN[slot] is kind]
        last_cycle = (count - 1) // EVENTS_PER_CYCLE
        for cycle in range(last_cycle - (last_cycle - topic) % len(TOPICS), -1, -len(TOPICS)):
            yield from (event for slot in slots if (event := cycle * EVENTS_PER_CYCLE + slot) < count)

    def market(self, index: int, at_us: int | None = None) -> SimMarket:
        event, position = event_of(index)
        kind, life, topic = kind_of(event), self.plan.life(event), _topic(event)
        event_ticker = self.event_ticker(event)
        structure = self._structure(kind, life, position, at_us)
        strike = 50 + 5 * position + (life.bits >> STRIKE_BITS) % 40
        target_known = not is_ahead(life, Phase.METADATA, position, at_us)
        return SimMarket(
            number=index,
            position=position,
            event=event,
            ticker=objects.market_ticker(event_ticker, position),
            market_id=self.market_id(index),
            event_ticker=event_ticker,
            series_ticker=self._series_ticker(event),
            title=f"{kind.title.format(topic=topic)}?",
            yes_sub_title=f"{strike} or above" if target_known else "Target: to be announced",
            no_sub_title=f"Below {strike}",
            is_combo=kind.is_combo,
            exchange_index=kind.exchange_index,
            created_us=life.turn_us(Phase.CREATED, position),
            updated_us=updated_us(life, position, at_us),
            open_us=life.turn_us(Phase.OPENED, position),
            close_us=close_us(kind, life, position, at_us),
            determined_us=life.turn_us(Phase.DETERMINED, position),
            settled_us=life.turn_us(Phase.SETTLED, position),
            result="" if is_ahead(life, Phase.DETERMINED, position, at_us) else self._outcomes.result(index, at_us),
            floor_strike=strike,
            price_level_structure=structure,
            price_ranges=STRUCTURES[structure],
            legs=self.legs(event) if kind.is_combo else (),
            collection_ticker=self._collection_ticker(event),
        )

    def event(self, event: int, at_us: int | None = None) -> SimEvent:
        kind, life = kind_of(event), self.plan.life(event)
        fees = fee_multiplier(life, at_us)
        return SimEvent(
            number=event,
            ticker=self.event_ticker(event),
            series=self._series_number(event),
            series_ticker=self._series_ticker(event),
            title=f"{kind.title.format(topic=_topic(event))}?",
            sub_title=f"On {objects.date_code(life.created_us // 86_400_000_000)}",
            category=kind.category,
            is_combo=kind.is_combo,
            mutually_exclusive=kind.mutually_exclusive,
            collateral_return_type=kind.collateral_return_type,
            exchange_index=kind.exchange_index,
            created_us=life.created_us,
            updated_us=updated_us(life, 0, at_us),
            fee_type_override="quadratic" if fees else None,
            fee_multiplier_override=fees,
            first_market=first_market_of(event),
            market_count=kind.markets_per_event,
            collection_ticker=self._collection_ticker(event),
        )

    def series(self, series: int) -> SimSeries:
        kind, topic = SERIES_KINDS[series // len(TOPICS)], series % len(TOPICS)
        return SimSeries(
            number=series,
            ticker=objects.series_ticker(kind, topic),
            title=kind.title.format(topic=TOPICS[topic]),
            category=kind.category,
            frequency=kind.frequency,
            tags=(kind.category.split()[0],),
            is_combo=kind.is_combo,
            exchange_index=kind.exchange_index,
            fee_type=kind.fee_type,
            fee_multiplier=1,
        )

    def structure(self, index: int, at_us: int | None = None) -> str:
        event, position = event_of(index)
        return self._structure(kind_of(event), self.plan.life(event), position, at_us)

    def close_us(self, index: int, at_us: int | None = None) -> int:
        event, position = event_of(index)
        return close_us(kind_of(event), self.plan.life(event), position, at_us)

    def legs(self, event: int) -> tuple[SimLeg, ...]:
        """Return the legs of a combo: the outcomes that must all come true."""
        return tuple(
            SimLeg(self.event_ticker(event_of(leg)[0]), self.ticker(leg), side)
            for leg, side in self._outcomes.legs(event)
        )

    def _structure(self, kind: Kind, life: Life, position: int, at_us: int | None) -> str:
        if self.whole_cents:
            return "linear_cent"
        finer = Phase.STRUCTURE in life.turns and not is_ahead(life, Phase.STRUCTURE, position, at_us)
        return kind.finer_structure if finer else kind.structure

    def _series_number(self, event: int) -> int:
        return SERIES_KINDS.index(kind_of(event)) * len(TOPICS) + event // EVENTS_PER_CYCLE % len(TOPICS)

    def _series_ticker(self, event: int) -> str:
        return objects.series_ticker(kind_of(event), event // EVENTS_PER_CYCLE % len(TOPICS))

    def _collection_ticker(self, event: int) -> str:
        return f"{self._series_ticker(event)}-R" if kind_of(event).is_combo else ""


def _topic(event: int) -> str:
    return TOPICS[event // EVENTS_PER_CYCLE % len(TOPICS)]


KEPT = 65_536


class MarketName(NamedTuple):
    """The two names of a market, with which every message about it begins."""

    ticker: str
    market_id: str


class MarketNames:
    """Cache of the names that the catalog computes, for the markets in use."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.of = lru_cache(maxsize=KEPT)(self._compute)

    def _compute(self, market: int) -> MarketName:
        return MarketName(self._catalog.ticker(market), self._catalog.market_id(market))
