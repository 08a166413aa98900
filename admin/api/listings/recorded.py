"""Lists of records in the lake's own columns, of all markets or of those that are named, in the order of time.

They are what programs download: kalshi_data.connect() reads them as Arrow, in the types of kalshi_data/schema.py.
"""

import pyarrow as pa
from marshmallow import fields

from admin.api.paging import (
    Filter,
    Key,
    ListColumn,
    Listing,
    asked_text,
    asked_time,
    between,
    boolean,
    equal,
    moment,
    number,
    one_of,
    printable,
    shown,
    shown_flag,
    shown_number,
    shown_time,
    whether,
)
from app.coverage import evidence
from app.coverage.queries import judgements
from app.markets.market import STATUSES
from kalshi_data.layout import COVERAGE, DELTAS, MARKETS, SNAPSHOTS, TICKERS, TRADES
from kalshi_data.schema import schema_of

OF_EVENT = "SELECT m.ticker FROM markets AS m WHERE m.event_ticker = %(event)s"
OF_SERIES = """
    SELECT m.ticker FROM markets AS m JOIN events AS e USING (event_ticker) WHERE e.series_ticker = %(series)s
"""
OF_MARKETS = {
    **equal("ticker"),
    "event": Filter(f"ticker IN ({OF_EVENT})", asked_text()),
    "series": Filter(f"ticker IN ({OF_SERIES})", asked_text()),
}
LIST_FIELDS = {pa.timestamp("us", "UTC"): fields.DateTime, pa.string(): fields.String}


def columns_of(table: str) -> tuple[ListColumn, ...]:
    return tuple(_column(field) for field in schema_of(table))


def _column(field: pa.Field) -> ListColumn:
    kind, name = field.type, field.name
    if pa.types.is_list(kind):
        each = LIST_FIELDS.get(kind.value_type, fields.Integer)()
        return ListColumn(name, name, fields.List(each, allow_none=field.nullable))
    if pa.types.is_timestamp(kind):
        return shown_time(name)
    if pa.types.is_boolean(kind):
        return shown_flag(name)
    if pa.types.is_integer(kind):
        # Readers of JSON would round numbers of 64 bits.
        return shown(name, f"{name}::TEXT") if name.endswith("digest") else shown_number(name)
    return shown(name, f"{name}::TEXT" if name == "details" else None)


RECORDED_TRADES = Listing(
    path="/records/trades",
    name="recorded_trades",
    summary="Trades of all markets, or of a market, an event or a series, by time.",
    columns=columns_of(TRADES),
    source="trades",
    keys=(Key("exchange_ts", moment), Key("trade_id", printable)),
    filters={**OF_MARKETS, **between("exchange_ts")},
    envelope="trades",
    channel=evidence.TRADES,
    table=TRADES,
)
BOOK_CHANGES = Listing(
    path="/records/book-changes",
    name="recorded_book_changes",
    summary="Changes of price levels (deltas) of all books, or of those of a market, an event or a series, by time.",
    columns=columns_of(DELTAS),
    source="orderbook_deltas",
    keys=(
        *(Key("exchange_ts", moment), Key("ticker", printable), Key("clock", number), Key("yes_side", boolean)),
        *(Key("price_e6", number), Key("delta_e2", number), Key("nth", number)),
    ),
    filters={**OF_MARKETS, **between("exchange_ts")},
    envelope="book_changes",
    channel=evidence.BOOKS,
    table=DELTAS,
)
RECORDED_QUOTES = Listing(
    path="/records/quotes",
    name="quotes",
    summary="Best prices and volumes as the exchange announced them, of all markets or of those named, by time.",
    columns=columns_of(TICKERS),
    source="tickers",
    # The digest is shown as text, and therefore also compared as text.
    keys=(Key("exchange_ts", moment), Key("ticker", printable), Key("digest", printable), Key("nth", number)),
    filters={**OF_MARKETS, **between("exchange_ts")},
    channel=evidence.TICKERS,
    table=TICKERS,
)
RECORDED_SNAPSHOTS = Listing(
    path="/records/snapshots",
    name="recorded_snapshots",
    summary="Order books as they were sent or polled, with all levels, by time.",
    columns=columns_of(SNAPSHOTS),
    source="orderbook_snapshots",
    keys=(Key("snapshot_ts", moment), Key("ticker", printable), Key("source", printable)),
    filters={
        **OF_MARKETS,
        **between("snapshot_ts"),
        **one_of("source", "ws", "rest"),
        **whether(confirmation="yes_prices_e6 IS NULL"),
    },
    envelope="snapshots",
    channel=evidence.BOOKS,
    table=SNAPSHOTS,
    batch_rows=500,  # a row has a whole book
)
JUDGEMENTS = Listing(
    path="/records/coverage",
    name="judgements",
    summary="State of every hour by channel and market, as the lake's coverage/ has it; those of the whole exchange "
    "have an empty ticker, and are among those of any market.",
    columns=columns_of(COVERAGE),
    source=f"({judgements('IS NOT NULL')}) AS judgements",
    keys=(Key("hour_start", moment), Key("channel", printable), Key("ticker", printable)),
    filters={
        "ticker": Filter("ticker IN ('', %(ticker)s)", asked_text()),
        "event": Filter(f"(ticker = '' OR ticker IN ({OF_EVENT}))", asked_text()),
        "series": Filter(f"(ticker = '' OR ticker IN ({OF_SERIES}))", asked_text()),
        **equal("channel"),
        **whether(complete="state = 'complete'", exchange="ticker = ''"),
        "from": Filter("hour_start > %(from)s::TIMESTAMPTZ - INTERVAL '1 hour'", asked_time()),
        "to": Filter("hour_start < %(to)s", asked_time()),
    },
    envelope="coverage",
    table=COVERAGE,
)
RECORDED_MARKETS = Listing(
    path="/records/markets",
    name="recorded_markets",
    summary="Markets with results and settlement, in the lake's columns.",
    columns=columns_of(MARKETS),
    source="markets",
    keys=(Key("ticker", printable),),
    filters={**OF_MARKETS, **one_of("status", *STATUSES)},
    envelope="markets",
    table=MARKETS,
)
