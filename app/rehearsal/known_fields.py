"""List the fields of the exchange's objects and messages in October 2026, whether or not we parse them.

An object with another field has changed since. Nothing breaks by that, but an operator should look at it.
"""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Raw


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


MARKET = _names("""
    ticker event_ticker market_type title subtitle yes_sub_title no_sub_title created_time updated_time open_time
    close_time expected_expiration_time expiration_time latest_expiration_time settlement_timer_seconds status
    yes_bid_dollars yes_bid_size_fp yes_ask_dollars yes_ask_size_fp no_bid_dollars no_ask_dollars last_price_dollars
    volume_fp volume_24h_fp result can_close_early open_interest_fp notional_value_dollars previous_yes_bid_dollars
    previous_yes_ask_dollars previous_price_dollars settlement_value_dollars settlement_ts settlement_bounds_type
    settlement_floor_dollars expiration_value occurrence_datetime fee_waiver_expiration_time early_close_condition
    strike_type floor_strike cap_strike functional_strike custom_strike rules_primary rules_secondary
    mve_collection_ticker mve_selected_legs primary_participant_key price_level_structure price_ranges is_provisional
    exchange_index liquidity_dollars""")
EVENT = _names("""
    event_ticker series_ticker sub_title title collateral_return_type mutually_exclusive category strike_date
    strike_period markets product_metadata settlement_sources last_updated_ts fee_type_override fee_multiplier_override
    exchange_index""")
SERIES = _names("""
    ticker frequency title category categories tags settlement_sources contract_url contract_terms_url product_metadata
    fee_type fee_multiplier additional_prohibitions volume_fp last_updated_ts exchange_index""")
TRADE = _names("""
    trade_id ticker count_fp yes_price_dollars no_price_dollars taker_side taker_outcome_side taker_book_side
    created_time is_block_trade""")
BOOK = _names("ticker orderbook_fp")
STATUS = _names("""
    exchange_active trading_active intra_exchange_transfers_active exchange_estimated_resume_time
    exchange_index_statuses""")
CUTOFF = _names("market_settled_ts trades_created_ts orders_updated_ts market_positions_last_updated_ts")
LIMITS = _names("usage_tier read write grants")

_LIFECYCLE = _names("""
    additional_metadata close_ts determination_ts event_type exchange_index is_deactivated market_ticker open_ts
    price_level_structure result settled_ts settlement_value""")
_METADATA_UPDATE = _names("cap_strike custom_strike floor_strike strike_type yes_sub_title")

MESSAGES: Mapping[str, frozenset[str]] = {
    "orderbook_snapshot": _names("clock market_id market_ticker no_dollars_fp yes_dollars_fp"),
    "orderbook_delta": _names("""
        client_order_id clock delta_fp market_id market_ticker price_dollars side subaccount ts ts_ms"""),
    "ticker": _names("""
        dollar_open_interest dollar_volume last_trade_size_fp market_id market_ticker open_interest_fp price_dollars
        time ts ts_ms volume_fp yes_ask_dollars yes_ask_size_fp yes_bid_dollars yes_bid_size_fp"""),
    "trade": _names("""
        count_fp is_block_trade market_ticker no_price_dollars taker_book_side taker_outcome_side taker_side trade_id ts
        ts_ms yes_price_dollars"""),
    "market_lifecycle_v2": _LIFECYCLE | _METADATA_UPDATE | {"price_ranges"},
    "multivariate_market_lifecycle": _LIFECYCLE,
    "event_lifecycle": _names("""
        collateral_return_type event_ticker exchange_index series_ticker strike_date strike_period subtitle title"""),
    "event_fee_update": _names("event_ticker fee_multiplier_override fee_type_override"),
    "subscribed": _names("channel sid"),
    "unsubscribed": frozenset(),
    "ok": _names("market_ids market_tickers channel sid"),
    "error": _names("code market_ticker market_tickers msg"),
}
ENVELOPE = _names("type id sid seq msg sending_ts_ms")


def unknown_in(content: bytes | Raw, known: Iterable[str]) -> set[str]:
    """Return the names of unknown fields. Content that is no object has none."""
    told = msgspec.json.decode(content)
    return set(told).difference(known) if isinstance(told, dict) else set()


def unknown_in_frame(frame: bytes) -> tuple[str, set[str]]:
    """Return the message's type and its unknown names. Content that is no JSON object has no type."""
    try:
        told = msgspec.json.decode(frame)
    except ValueError:
        return "", set()
    if not isinstance(told, dict):
        return "", set()
    kind, body = str(told.get("type", "")), told.get("msg")
    parts = [part for part in (body if isinstance(body, list) else [body]) if isinstance(part, dict)]
    inside = {name for part in parts for name in part}
    return kind, (set(told) - ENVELOPE) | {f"msg.{name}" for name in inside - MESSAGES.get(kind, frozenset())}
