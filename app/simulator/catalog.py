from collections.abc import Iterator
from functools import lru_cache

from app.simulator import tickers
from app.simulator.draws import draw, uuid_text
from app.simulator.kinds import PATTERN, TOPICS, Kind
from app.simulator.knowledge import close_us, fee_multiplier, is_ahead, updated_us
from app.simulator.listing import Event, Leg, Market, Series
from app.simulator.outcomes import Outcomes
from app.simulator.phases import Phase
from app.simulator.plan import EVENTS_PER_CYCLE, Life, Plan, event_of, first_market_of, kind_of
from app.simulator.prices import STRUCTURES

IDENTITY = 11
# Which bits of an event's draw say its strike.
STRIKE_BITS = 32
ID_BITS = 48
KEPT_EVENTS = 4_096
SERIES_KINDS: tuple[Kind, ...] = tuple(dict.fromkeys(PATTERN))


class Catalog:
    """Every series, event and market there is and will be: each one computed from the seed and its number when asked.

    Numbers rise with the time of creation, so newest first is counting down from count(). Where a method takes a
    moment, it answers what is known then; without one, how things end.
    """

    def __init__(self, seed: int, markets: int, start_us: int, *, whole_cents: bool = False) -> None:
        self.seed = seed
        self.start_us = start_us
        self.initial_markets = markets
        self.whole_cents = whole_cents  # the older wire knows no other prices and no parts of contracts
        self.plan = Plan(seed, markets, start_us)
        self._outcomes = Outcomes(self.plan)
        # A page shows an event's markets side by side, and combos name events of the near past.
        self.event_ticker = lru_cache(maxsize=KEPT_EVENTS)(self._event_ticker)
        self._id_key = draw(seed, IDENTITY) & (1 << ID_BITS) - 1

    def __len__(self) -> int:
        """At the start; count() says how many there are later."""
        return self.initial_markets

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
        return tickers.market_ticker(self.event_ticker(event), position)

    def _event_ticker(self, event: int) -> str:
        return tickers.event_ticker(self._series_ticker(event), self.plan.life(event).created_us, event)

    def market_id(self, index: int) -> str:
        low = draw(self.seed, IDENTITY, index)
        return uuid_text(draw(low), low >> ID_BITS << ID_BITS | index ^ self._id_key)

    def index_of(self, ticker: str) -> int | None:
        event, position = tickers.event_number(ticker), tickers.market_position(ticker)
        if event is None or position is None or position >= kind_of(event).markets_per_event:
            return None
        index = first_market_of(event) + position
        return index if self.ticker(index) == ticker else None

    def index_of_id(self, market_id: str) -> int | None:
        digits = market_id[-ID_BITS // 4 :]
        try:
            index = int(digits, 16) ^ self._id_key
        except ValueError:
            return None
        return index if self.market_id(index) == market_id else None

    def index_of_event(self, ticker: str) -> int | None:
        event = tickers.event_number(ticker)
        return event if event is not None and self.event_ticker(event) == ticker else None

    def index_of_series(self, ticker: str) -> int | None:
        return next((index for index in range(self.series_count) if self.series(index).ticker == ticker), None)

    def events_of_series(self, series: int, count: int) -> Iterator[int]:
        """Newest first, among the first `count` events."""
        kind, topic = SERIES_KINDS[series // len(TOPICS)], series % len(TOPICS)
        slots = [slot for slot in reversed(range(EVENTS_PER_CYCLE)) if PATTERN[slot] is kind]
        last_cycle = (count - 1) // EVENTS_PER_CYCLE
        for cycle in range(last_cycle - (last_cycle - topic) % len(TOPICS), -1, -len(TOPICS)):
            yield from (event for slot in slots if (event := cycle * EVENTS_PER_CYCLE + slot) < count)

    def market(self, index: int, at_us: int | None = None) -> Market:
        event, position = event_of(index)
        kind, life, topic = kind_of(event), self.plan.life(event), _topic(event)
        event_ticker = self.event_ticker(event)
        structure = self._structure(kind, life, position, at_us)
        strike = 50 + 5 * position + (life.bits >> STRIKE_BITS) % 40
        target_known = not is_ahead(life, Phase.METADATA, position, at_us)
        return Market(
            number=index,
            position=position,
            event=event,
            ticker=tickers.market_ticker(event_ticker, position),
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

    def event(self, event: int, at_us: int | None = None) -> Event:
        kind, life = kind_of(event), self.plan.life(event)
        fees = fee_multiplier(life, at_us)
        return Event(
            number=event,
            ticker=self.event_ticker(event),
            series=self._series_number(event),
            series_ticker=self._series_ticker(event),
            title=f"{kind.title.format(topic=_topic(event))}?",
            sub_title=f"On {tickers.date_code(life.created_us // 86_400_000_000)}",
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

    def series(self, series: int) -> Series:
        kind, topic = SERIES_KINDS[series // len(TOPICS)], series % len(TOPICS)
        return Series(
            number=series,
            ticker=tickers.series_ticker(kind, topic),
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

    def legs(self, event: int) -> tuple[Leg, ...]:
        """Of a combo: what has to come true for it."""
        return tuple(
            Leg(self.event_ticker(event_of(leg)[0]), self.ticker(leg), side) for leg, side in self._outcomes.legs(event)
        )

    def _structure(self, kind: Kind, life: Life, position: int, at_us: int | None) -> str:
        if self.whole_cents:
            return "linear_cent"
        finer = Phase.STRUCTURE in life.turns and not is_ahead(life, Phase.STRUCTURE, position, at_us)
        return kind.finer_structure if finer else kind.structure

    def _series_number(self, event: int) -> int:
        return SERIES_KINDS.index(kind_of(event)) * len(TOPICS) + event // EVENTS_PER_CYCLE % len(TOPICS)

    def _series_ticker(self, event: int) -> str:
        return tickers.series_ticker(kind_of(event), event // EVENTS_PER_CYCLE % len(TOPICS))

    def _collection_ticker(self, event: int) -> str:
        return f"{self._series_ticker(event)}-R" if kind_of(event).is_combo else ""


def _topic(event: int) -> str:
    return TOPICS[event // EVENTS_PER_CYCLE % len(TOPICS)]
