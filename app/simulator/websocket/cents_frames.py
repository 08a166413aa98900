"""The older wire, until spring 2026: integer cents, whole contracts, seconds.

It has two lifecycle channels with different wordings; a change that neither one announces yields no message.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from app.simulator.market.catalog import Catalog, MarketName
from app.simulator.market.changes import SimBook, SimDelta, SimLifecycle, SimTicker, SimTrade
from app.simulator.websocket.commands import CENTS_CHANNELS
from app.simulator.websocket.dollar_frames import (
    DELTA,
    LIFECYCLE,
    LIFECYCLE_MESSAGES,
    MULTIVARIATE,
    SNAPSHOT,
    TICKER,
    TRADE,
    Message,
    head_of,
)

CENT_E6 = 10_000
CONTRACT_E2 = 100
OLD_LIFECYCLE = "market_lifecycle"
EVENT_LIFECYCLE = "event_lifecycle"
# The status before and after, as the channel of the first documents announced each event.
STATUS_CHANGES = {
    "activated": ("inactive", "active"),
    "deactivated": ("active", "inactive"),
    "determined": ("closed", "determined"),
}
PAYLOAD_KEYS = ("open_ts", "close_ts", "result", "determination_ts", "settled_ts", "is_deactivated")
METADATA_KEYS = (
    "name",
    "title",
    "yes_sub_title",
    "no_sub_title",
    "rules_primary",
    "rules_secondary",
    "can_close_early",
    "expected_expiration_ts",
    "strike_type",
    "custom_strike",
)
EVENTS = frozenset({"created", "activated", "deactivated", "close_date_updated", "determined", "settled"})


class CentsFrames:
    """The encoder of the older wire."""

    channels = CENTS_CHANNELS
    refuses_repetition = True

    def __init__(self, catalog: Catalog) -> None:
        if not catalog.whole_cents:
            raise ValueError("the older wire cannot say parts of cents: the catalog must do without")

    def stamp(self, _now_ms: int) -> bytes:
        return b""

    def market_list(self, key: str, names: list[str]) -> dict[str, object]:
        return {key: names}

    def subscription_list(self, listed: list[dict[str, object]]) -> dict[str, object]:
        return {"type": "list_subscriptions", "subscriptions": listed}

    def delta(self, name: MarketName, change: SimDelta, *, yes_price: bool, timed: bool) -> Message:  # noqa: ARG002
        time = f',"ts":{change.at_us // 1_000_000}' if timed else ""
        body = (
            f',"msg":{{"market_ticker":"{name.ticker}","price":{cents(change.price_e6)},'
            f'"delta":{change.delta_e2 // CONTRACT_E2},"side":"{"yes" if change.yes_side else "no"}"{time}}}}}'
        )
        return Message(DELTA, body.encode())

    def snapshot(self, name: MarketName, book: SimBook, *, yes_price: bool) -> Message:  # noqa: ARG002
        sides = _side("yes", book.yes) + _side("no", book.no)
        return Message(SNAPSHOT, f',"msg":{{"market_ticker":"{name.ticker}"{sides}}}}}'.encode())

    def trade(self, name: MarketName, change: SimTrade) -> Message:
        yes_cents = cents(change.yes_price_e6)
        body = (
            f',"msg":{{"trade_id":"{change.trade_id}","market_ticker":"{name.ticker}","yes_price":{yes_cents},'
            f'"no_price":{100 - yes_cents},"count":{change.size_e2 // CONTRACT_E2},'
            f'"taker_side":"{"yes" if change.taker_yes else "no"}","ts":{change.at_us // 1_000_000}}}}}'
        )
        return Message(TRADE, body.encode())

    def ticker(self, name: MarketName, change: SimTicker) -> Message:
        """Return the ticker message. A side without bids, and the price before any trade, are 0 and 100."""
        body = (
            f',"msg":{{"market_ticker":"{name.ticker}","price":{cents(change.price_e6 or 0)},'
            f'"yes_bid":{cents(change.yes_bid_e6)},"yes_ask":{cents(change.yes_ask_e6)},'
            f'"volume":{change.volume_e2 // CONTRACT_E2},"open_interest":{change.open_interest_e2 // CONTRACT_E2},'
            f'"dollar_volume":{change.dollar_volume},"dollar_open_interest":{change.dollar_open_interest},'
            f'"ts":{change.at_us // 1_000_000}}}}}'
        )
        return Message(TICKER, body.encode(), has_seq=False)

    def lifecycle_channels(self, change: SimLifecycle) -> tuple[str, ...]:
        return (LIFECYCLE, OLD_LIFECYCLE) if change.message_type in LIFECYCLE_MESSAGES else ()

    def lifecycle(self, change: SimLifecycle, channel: str) -> Message | None:
        if channel == OLD_LIFECYCLE:
            return _old_lifecycle(change)
        if change.message_type == EVENT_LIFECYCLE:
            payload = {key: value for key, value in change.payload.items() if key != "exchange_index"}
            payload["sub_title"] = payload.pop("subtitle")
            return _message(EVENT_LIFECYCLE, {"event_ticker": change.ticker, **payload})
        if change.message_type not in (LIFECYCLE, MULTIVARIATE) or change.event_type not in EVENTS:
            return None
        return _message(
            LIFECYCLE, {"market_ticker": change.ticker, "event_type": change.event_type, **_payload(change)}
        )


def cents(price_e6: int) -> int:
    """Return the price in cents. Raise ValueError if it is not a whole number of them."""
    whole, rest = divmod(price_e6, CENT_E6)
    if rest:
        raise ValueError(f"{price_e6} millionths of a dollar are no whole cents")
    return whole


def _old_lifecycle(change: SimLifecycle) -> Message | None:
    """Return the message of the first documents' channel, or None if that does not announce the event."""
    fields: dict[str, Any] = {"market_ticker": change.ticker, "event_type": change.event_type}
    if change.event_type in STATUS_CHANGES:
        fields["event_type"] = "status_change"
        fields["old_status"], fields["new_status"] = STATUS_CHANGES[change.event_type]
    elif change.event_type not in ("created", "settled"):
        return None
    return _message(OLD_LIFECYCLE, fields | _payload(change))


def _payload(change: SimLifecycle) -> dict[str, Any]:
    payload = {key: change.payload[key] for key in PAYLOAD_KEYS if key in change.payload}
    if metadata := change.payload.get("additional_metadata"):
        payload["additional_metadata"] = {key: metadata[key] for key in METADATA_KEYS if key in metadata}
    return payload


def _message(message_type: str, fields: dict[str, Any]) -> Message:
    return Message(head_of(message_type), b',"msg":' + msgspec.json.encode(fields) + b"}")


def _side(key: str, levels: Iterable[tuple[int, int]]) -> str:
    pairs = ",".join([f"[{cents(price_e6)},{size_e2 // CONTRACT_E2}]" for price_e6, size_e2 in levels])
    return f',"{key}":[{pairs}]' if pairs else ""
