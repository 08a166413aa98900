"""Lists of the exchange's messages about a market, newest first."""

from admin.api.paging import (
    Filter,
    Key,
    Listing,
    between,
    equal,
    moment,
    number,
    one_of,
    printable,
    shown,
    shown_contracts,
    shown_dollars,
    shown_flag,
    shown_number,
    shown_object,
    shown_time,
)
from app.coverage import evidence


def of_a_market(time_column: str) -> dict[str, Filter]:
    return {**equal("ticker"), **between(time_column)}


TRADES = Listing(
    path="/markets/<ticker>/trades",
    name="trades",
    summary="A market's trades.",
    columns=(
        *(shown_time("exchange_ts"), shown("trade_id"), shown_dollars("yes_price", "yes_price_e6")),
        *(shown_number("yes_price_e6"), shown_contracts("contracts", "size_e2"), shown_number("size_e2")),
        *(shown("taker_side", "readable.side(taker_yes)"), shown_flag("is_block_trade"), shown_flag("from_rest")),
        shown_time("received_at"),
    ),
    source="trades",
    keys=(Key("exchange_ts", moment), Key("trade_id", printable)),
    filters=of_a_market("exchange_ts"),
    newest_first=True,
    channel=evidence.TRADES,
)
DELTAS = Listing(
    path="/markets/<ticker>/changes",
    name="book_changes",
    envelope="changes",
    summary="Changes of the levels of a market's book. `clock` -1: the message carried none.",
    columns=(
        *(shown_time("exchange_ts"), shown_number("clock"), shown("side", "readable.side(yes_side)")),
        *(shown_dollars("price", "price_e6"), shown_number("price_e6"), shown_contracts("change", "delta_e2")),
        *(shown_number("delta_e2"), shown_number("nth"), shown_flag("after_gap"), shown_flag("ts_missing")),
        shown_time("received_at"),
    ),
    source="orderbook_deltas",
    keys=(
        *(Key("exchange_ts", moment), Key("clock", number), Key("side", printable), Key("price_e6", number)),
        *(Key("delta_e2", number), Key("nth", number)),
    ),
    filters=of_a_market("exchange_ts"),
    newest_first=True,
    channel=evidence.BOOKS,
)
TICKERS = Listing(
    path="/markets/<ticker>/tickers",
    name="tickers",
    summary="A market's best prices and volumes, as the exchange announced them.",
    columns=(
        *(shown_time("exchange_ts"), shown_dollars("last_price", "price_e6"), shown_dollars("yes_bid", "yes_bid_e6")),
        *(shown_dollars("yes_ask", "yes_ask_e6"), shown_contracts("yes_bid_contracts", "yes_bid_size_e2")),
        *(shown_contracts("yes_ask_contracts", "yes_ask_size_e2"), shown_contracts("volume", "volume_e2")),
        *(shown_contracts("open_interest", "open_interest_e2"), shown("digest", "digest::TEXT"), shown_number("nth")),
        shown_time("received_at"),
    ),
    source="tickers",
    # The digest is shown as text, and therefore also compared as text.
    keys=(Key("exchange_ts", moment), Key("digest", printable), Key("nth", number)),
    filters=of_a_market("exchange_ts"),
    newest_first=True,
    channel=evidence.TICKERS,
)
SNAPSHOTS = Listing(
    path="/markets/<ticker>/snapshots",
    name="snapshots",
    summary="Snapshots of a market's book.",
    columns=(
        *(shown_time("snapshot_ts"), shown("source"), shown("clock", "nullif(clock, -1)::TEXT")),
        *(
            shown_flag("is_confirmation", "yes_prices_e6 IS NULL"),
            shown_number("yes_levels", "cardinality(yes_prices_e6)"),
        ),
        *(shown_number("no_levels", "cardinality(no_prices_e6)"), shown_time("received_at")),
    ),
    source="orderbook_snapshots",
    keys=(Key("snapshot_ts", moment), Key("source", printable)),
    filters={**of_a_market("snapshot_ts"), **one_of("source", "ws", "rest")},
    newest_first=True,
)
LIFECYCLE = Listing(
    path="/markets/<ticker>/lifecycle",
    name="lifecycle",
    summary="Lifecycle events of a market or an event.",
    columns=(
        *(shown_time("exchange_ts"), shown("event_type"), shown_object("payload"), shown_time("received_at")),
        *(shown("digest", "digest::TEXT"), shown_number("nth")),
    ),
    source="lifecycle_events",
    keys=(Key("exchange_ts", moment), Key("event_type", printable), Key("digest", printable), Key("nth", number)),
    filters=of_a_market("exchange_ts"),
    newest_first=True,
)
