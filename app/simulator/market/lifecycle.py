"""The timetable of all turns, and the messages that the exchange sends when a market takes one."""

import heapq
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from app.simulator.market.catalog import Catalog
from app.simulator.market.changes import SimLifecycle
from app.simulator.market.kinds import EVENT_PHASES, PATTERN, SECOND_US, Phase
from app.simulator.market.objects import SimMarket
from app.simulator.market.plan import BETWEEN_MARKETS_US, EVENTS_PER_CYCLE, SimPlan, first_market_of
from app.simulator.market.prices import range_payload


class Occasion(NamedTuple):
    """One turn in the life of a market. For a turn of an event, `market` is the event's first one."""

    at_us: int
    market: int
    phase: Phase


class Timetable:
    """Every turn of every market after a moment, in order of time.

    Turns of one kind of event follow the order of the events' numbers. So only one place in each row of turns is kept,
    whatever the number of markets.
    """

    def __init__(self, plan: SimPlan, after_us: int) -> None:
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
        """Return the next occasion, and advance past it."""
        at_us, row, event, position = self._next[0]
        slot, turn = self._rows[row]
        if position + 1 < PATTERN[slot].markets_per_event and turn.phase not in EVENT_PHASES:
            following = (at_us + BETWEEN_MARKETS_US, row, event, position + 1)
        else:
            following = self._place(row, event + EVENTS_PER_CYCLE)
        heapq.heapreplace(self._next, following)
        return Occasion(at_us, first_market_of(event) + position, turn.phase)

    def _place(self, row: int, event: int) -> tuple[int, int, int, int]:
        """Return the place of the next event, from this one on, that takes the turn at all."""
        phase = self._rows[row][1].phase
        while phase not in self._plan.life(event).turns:
            event += EVENTS_PER_CYCLE
        return self._plan.life(event).turn_us(phase, 0), row, event, 0


MARKET_MESSAGE = "market_lifecycle_v2"
COMBO_MESSAGE = "multivariate_market_lifecycle"
EVENT_MESSAGE = "event_lifecycle"
FEE_MESSAGE = "event_fee_update"
# Part of the history, but the exchange sends no message: opening, closing, disputes, amendments, clock restarts.
SILENT = "silent"

MARKET_EVENTS = {
    Phase.CREATED: ("created",),
    Phase.PAUSED: ("deactivated",),
    Phase.RESUMED: ("activated",),
    Phase.PAUSED_AGAIN: ("deactivated",),
    Phase.RESUMED_AGAIN: ("activated",),
    Phase.CLOSE_MOVED: ("close_date_updated",),
    Phase.REOPENED: ("close_date_updated", "activated"),
    Phase.DETERMINED: ("determined",),
    Phase.SETTLED: ("settled",),
    Phase.METADATA: ("metadata_updated",),
    Phase.STRUCTURE: ("price_level_structure_updated",),
}


def messages(catalog: Catalog, occasion: Occasion) -> Iterator[SimLifecycle]:
    """Yield the messages of an occasion, or a silent record where the exchange sends none."""
    at_us, index, phase = occasion
    market = catalog.market(index, at_us)
    if phase is Phase.CREATED and market.position == 0:
        yield _event_created(catalog, market, at_us)
    if phase in (Phase.FEES_SET, Phase.FEES_CLEARED):
        yield _fees(catalog, market, at_us)
    elif phase not in MARKET_EVENTS:
        yield SimLifecycle(at_us, market.ticker, SILENT, phase.label, {})
    elif phase is not Phase.STRUCTURE or not catalog.whole_cents:
        message_type = COMBO_MESSAGE if market.is_combo else MARKET_MESSAGE
        for event_type in MARKET_EVENTS[phase]:
            yield SimLifecycle(at_us, market.ticker, message_type, event_type, PAYLOADS[event_type](market))


def is_close(change: SimLifecycle) -> bool:
    """Return whether it is the silent record of a market that closes for good."""
    return change.message_type == SILENT and change.event_type == Phase.CLOSED.label


def _created(market: SimMarket) -> dict[str, Any]:
    payload = {
        "exchange_index": market.exchange_index,
        "open_ts": market.open_us // SECOND_US,
        "close_ts": market.close_us // SECOND_US,
        **_structure(market),
        "additional_metadata": {
            "name": f"{market.title[:-1]}, {market.yes_sub_title}",
            "title": market.title,
            "yes_sub_title": market.yes_sub_title,
            "no_sub_title": market.no_sub_title,
            "rules_primary": rules(market),
            "rules_secondary": "",
            "can_close_early": True,
            "event_ticker": market.event_ticker,
            "expected_expiration_ts": market.close_us // SECOND_US + 300,
            "strike_type": "custom" if market.is_combo else "greater_or_equal",
        },
    }
    if market.is_combo:
        payload.pop("price_ranges")
        payload["additional_metadata"]["custom_strike"] = {leg.market_ticker: leg.side for leg in market.legs}
    else:
        payload["additional_metadata"]["floor_strike"] = market.floor_strike
    return payload


def rules(market: SimMarket) -> str:
    return f"If the answer to “{market.title}” is {market.floor_strike} or above, the market resolves to Yes."


def _structure(market: SimMarket) -> dict[str, Any]:
    structure = market.price_level_structure
    return {"price_level_structure": structure, "price_ranges": range_payload(structure)}


def _determined(market: SimMarket) -> dict[str, Any]:
    return {
        "result": market.result,
        "settlement_value": "1.0000" if market.result == "yes" else "0.0000",
        "determination_ts": market.determined_us // SECOND_US,
    }


def _metadata(market: SimMarket) -> dict[str, Any]:
    return {
        "strike_type": "greater_or_equal",
        "floor_strike": market.floor_strike,
        "yes_sub_title": market.yes_sub_title,
    }


def _event_created(catalog: Catalog, market: SimMarket, at_us: int) -> SimLifecycle:
    event = catalog.event(market.event, at_us)
    payload = {
        "exchange_index": event.exchange_index,
        "title": event.title,
        "subtitle": event.sub_title,
        "collateral_return_type": event.collateral_return_type,
        "series_ticker": event.series_ticker,
    }
    if event.mutually_exclusive:
        payload["strike_date"] = market.close_us // SECOND_US
    return SimLifecycle(at_us, event.ticker, EVENT_MESSAGE, "", payload)


def _fees(catalog: Catalog, market: SimMarket, at_us: int) -> SimLifecycle:
    event = catalog.event(market.event, at_us)
    payload = {
        "fee_type_override": event.fee_type_override,
        "fee_multiplier_override": event.fee_multiplier_override,
    }
    return SimLifecycle(at_us, event.ticker, FEE_MESSAGE, "", payload)


PAYLOADS: dict[str, Callable[[SimMarket], dict[str, Any]]] = {
    "created": _created,
    "deactivated": lambda _market: {"is_deactivated": True},
    "activated": lambda _market: {"is_deactivated": False},
    "close_date_updated": lambda market: {"close_ts": market.close_us // SECOND_US},
    "determined": _determined,
    "settled": lambda market: {"settled_ts": market.settled_us // SECOND_US},
    "metadata_updated": _metadata,
    "price_level_structure_updated": _structure,
}
