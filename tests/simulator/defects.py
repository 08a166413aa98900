"""Defects of a recording by name, each with how it is planted and what names it."""

import pyarrow as pa

from app.coverage.evidence import BOOKS, LIFECYCLE, TICKERS, TRADES
from app.storage.tables import (
    PRODUCTION_LIFECYCLE_EVENTS,
    PRODUCTION_ORDERBOOK_DELTAS,
    PRODUCTION_ORDERBOOK_SNAPSHOTS,
    PRODUCTION_TICKERS,
    PRODUCTION_TRADES,
)
from tests.simulator.judges import SOCKETS, START
from tests.simulator.recording import START_US, insert

CHANGES = PRODUCTION_ORDERBOOK_DELTAS.name
DEALS = PRODUCTION_TRADES.name
QUOTES = PRODUCTION_TICKERS.name
ANNOUNCED = PRODUCTION_LIFECYCLE_EVENTS.name
SNAPSHOTS = PRODUCTION_ORDERBOOK_SNAPSHOTS.name


def statement(text):
    """A defect of many rows."""
    return lambda damaged: damaged.execute(text)


def dropped(table, where="TRUE"):
    return lambda recorded: recorded.delete_one(table, where)


def altered(table, change, where="TRUE"):
    return lambda recorded: recorded.update_one(table, change, where)


def doubled(table, **different):
    return lambda recorded: recorded.copy_one(table, **different)


def invented(recorded):
    with recorded.connection.cursor() as cursor:
        insert(cursor, DEALS, [(START_US, START_US, 100, 10_000, True, False, True, "KXA-26NOV21-T1", "invented")])


def after(seconds, column="exchange_ts"):
    return f"{column} > TIMESTAMPTZ '{START}' + INTERVAL '{seconds} seconds'"


ANOTHER_MARKET = f"(SELECT max(other.ticker) FROM {SNAPSHOTS} AS other WHERE other.ticker <> {{table}}.ticker)"
LEVELS = "yes_prices_e6, yes_sizes_e2, no_prices_e6, no_sizes_e2"
ANOTHER_BOOK = f"({LEVELS}) = (SELECT {LEVELS} FROM {SNAPSHOTS} ORDER BY ticker DESC LIMIT 1)"
SOME_DEALS = f"trade_id IN (SELECT trade_id FROM {DEALS} ORDER BY exchange_ts OFFSET 10 LIMIT 5)"
OF_THE_BUSIEST = f"ticker = (SELECT ticker FROM {CHANGES} GROUP BY ticker ORDER BY count(*) DESC LIMIT 1)"
ONE_MORE = "yes_sizes_e2[1] = yes_sizes_e2[1] + 1"

# In production, named by the check against the truth.
ROWS = {
    "a change dropped": (dropped(CHANGES), {(CHANGES, "lost")}),
    "a trade dropped": (dropped(DEALS), {(DEALS, "lost")}),
    "a quote dropped": (dropped(QUOTES), {(QUOTES, "lost")}),
    "an announcement dropped": (dropped(ANNOUNCED), {(ANNOUNCED, "lost")}),
    "all quotes of a second dropped": (
        statement(f"DELETE FROM {QUOTES} WHERE {after(1)} AND NOT {after(2)}"),
        {(QUOTES, "lost")},
    ),
    "a change twice": (doubled(CHANGES, nth="nth + 5"), {(CHANGES, "duplicated")}),
    "a trade twice, at two times": (
        doubled(DEALS, exchange_ts="exchange_ts + INTERVAL '2 seconds'"),
        {(DEALS, "duplicated")},
    ),
    "a quote twice, a millisecond apart": (
        doubled(QUOTES, exchange_ts="exchange_ts + INTERVAL '1 millisecond'"),
        {(QUOTES, "duplicated")},
    ),
    "an announcement twice": (doubled(ANNOUNCED, nth="nth + 7"), {(ANNOUNCED, "duplicated")}),
    "a trade that never happened": (invented, {(DEALS, "unexpected")}),
    "a change of another size": (altered(CHANGES, "delta_e2 = delta_e2 + 100"), {(CHANGES, "altered")}),
    "a change of the other side": (altered(CHANGES, "yes_side = NOT yes_side"), {(CHANGES, "altered")}),
    "a trade's side flipped": (altered(DEALS, "taker_yes = NOT taker_yes"), {(DEALS, "altered")}),
    "a trade at the other side's price": (
        altered(DEALS, "yes_price_e6 = 1000000 - yes_price_e6", "yes_price_e6 <> 500000"),
        {(DEALS, "altered")},
    ),
    "a change stamped too late": (
        altered(CHANGES, "exchange_ts = exchange_ts + INTERVAL '3 milliseconds'"),
        {(CHANGES, "altered")},
    ),
    "a change with another clock": (altered(CHANGES, "clock = clock + 1000000"), {(CHANGES, "altered")}),
    "trades in another time zone": (
        statement(f"UPDATE {DEALS} SET exchange_ts = exchange_ts + INTERVAL '1 hour' WHERE {SOME_DEALS}"),
        {(DEALS, "altered")},
    ),
    "the nth of a change wrong": (
        altered(CHANGES, "nth = 7", "nth = 1"),
        {(CHANGES, "lost"), (CHANGES, "duplicated")},
    ),
    "equal changes merged into one": (statement(f"DELETE FROM {CHANGES} WHERE nth > 0"), {(CHANGES, "lost")}),
    "quotes merged by their second": (
        statement(
            f"DELETE FROM {QUOTES} AS later USING {QUOTES} AS first WHERE first.ticker = later.ticker "
            "AND first.exchange_ts < later.exchange_ts AND first.exchange_ts > later.exchange_ts - INTERVAL '1 second'"
        ),
        {(QUOTES, "lost")},
    ),
    "a change under another market": (
        altered(CHANGES, f"ticker = {ANOTHER_MARKET}"),
        {(CHANGES, "lost"), (CHANGES, "unexpected")},
    ),
    "an announcement of something else": (
        altered(ANNOUNCED, "payload = payload || '{{\"close_ts\": 1}}'"),
        {(ANNOUNCED, "altered")},
    ),
    "a level of a snapshot altered": (
        altered(SNAPSHOTS, ONE_MORE, "cardinality(yes_prices_e6) > 0"),
        {("books", "altered")},
    ),
    "a snapshot with the book of another market": (altered(SNAPSHOTS, ANOTHER_BOOK), {("books", "altered")}),
    "the snapshots of a market dropped": (
        statement(f"DELETE FROM {SNAPSHOTS} WHERE {OF_THE_BUSIEST}"),
        {("books", "lost")},
    ),
}

EVERY_CHANNEL = set(SOCKETS)
BUSY_CHANNELS = EVERY_CHANNEL - {LIFECYCLE}  # with an event in each second
BEGIN_LATER = "tstzmultirange(tstzrange(lower(holes) + INTERVAL '1 second', upper(holes)))"
END_EARLIER = "tstzmultirange(tstzrange(lower(holes), upper(holes) - INTERVAL '1 second'))"
OF_ONE_MARKET = "ticker = (SELECT max(ticker) FROM coverage)"

# In the claims of production, named by the comparison of declared holes with true ones.
CLAIMS = {
    "every hole swallowed": ("DELETE FROM coverage", EVERY_CHANNEL),
    "the hole of trades swallowed": (f"DELETE FROM coverage WHERE channel = '{TRADES}'", {TRADES}),
    "the hole of a market swallowed": (f"DELETE FROM coverage WHERE {OF_ONE_MARKET}", {BOOKS}),
    "a claim that ends a second too late": (f"UPDATE coverage SET holes = {BEGIN_LATER}", BUSY_CHANNELS),
    "a claim that begins a second too early": (f"UPDATE coverage SET holes = {END_EARLIER}", EVERY_CHANNEL),
    "a hole under the name of another market": (f"UPDATE coverage SET ticker = 'KXA' WHERE {OF_ONE_MARKET}", {BOOKS}),
}
# In the journals of which these claims are made.
JOURNALS = {
    "a gap under the number of another socket": (
        f"UPDATE gatherer_gaps SET conn = 9 WHERE conn = {SOCKETS[TRADES]}",
        {TRADES},
    ),
    "a gap that was not copied": (f"DELETE FROM gatherer_gaps WHERE conn = {SOCKETS[TICKERS]}", {TICKERS}),
    "gaps that end when they begin": ("UPDATE gatherer_gaps SET ended_at = started_at", EVERY_CHANNEL),
}

# In production after the outage, found by the audit by snapshots, which knows no truth.
AUDITED = {
    "a change dropped": dropped(CHANGES, after(6)),
    "a change twice": lambda recorded: recorded.copy_one(CHANGES, after(6), nth="nth + 5"),
    "a change of another size": altered(CHANGES, "delta_e2 = delta_e2 + 100", after(6)),
    "a change of the other side": altered(CHANGES, "yes_side = NOT yes_side", after(6)),
    "a level of a snapshot altered": altered(
        SNAPSHOTS, ONE_MORE, f"cardinality(yes_prices_e6) > 0 AND {after(6, 'snapshot_ts')}"
    ),
}
# A change of the best bid, which nothing but the next quotes shows.
BEST_BID_DROPPED = f"""
    DELETE FROM {CHANGES} WHERE ingest_id = (
        SELECT d.ingest_id FROM {CHANGES} AS d JOIN {QUOTES} AS q ON q.ticker = d.ticker
            AND q.exchange_ts > d.exchange_ts AND q.exchange_ts < d.exchange_ts + INTERVAL '2 seconds'
        WHERE {after(6, "d.exchange_ts")} AND NOT {after(9, "q.exchange_ts")}
            AND d.yes_side AND d.price_e6 = q.yes_bid_e6
            AND NOT EXISTS (
                SELECT FROM {CHANGES} AS o WHERE o.ticker = d.ticker AND o.yes_side AND o.price_e6 = d.price_e6
                    AND o.exchange_ts > d.exchange_ts AND o.exchange_ts <= q.exchange_ts
            )
        ORDER BY d.exchange_ts LIMIT 1
    )
"""


def rewritten(change):
    return lambda lake: lake.rewrite(DEALS, change)


def exported_so(change):
    return lambda lake: lake.rewrite_with_manifest(DEALS, change)


def first_flipped(rows):
    position, sides = rows.schema.get_field_index("taker_yes"), rows["taker_yes"].to_pylist()
    return rows.set_column(position, rows.schema.field(position), [[not sides[0], *sides[1:]]])


def cut(lake):
    content = lake.object(DEALS).read_bytes()
    lake.object(DEALS).write_bytes(content[: len(content) // 2])


OTHER_BYTES = "bytes are not those of its manifest"
OTHER_EXPORT = "not those that were written"
OF_A_DEAL = f"trade_id = (SELECT min(trade_id) FROM {DEALS})"

# In a lake, named by the check against the truth, and by the verification against manifest, ledger and production.
FILES = {
    "a row dropped": (rewritten(lambda rows: rows.slice(1)), {(DEALS, "lost")}, OTHER_BYTES),
    "a row twice": (
        rewritten(lambda rows: pa.concat_tables([rows, rows.slice(0, 1)])),
        {(DEALS, "duplicated")},
        OTHER_BYTES,
    ),
    "a trade's side flipped": (rewritten(first_flipped), {(DEALS, "altered")}, OTHER_BYTES),
    "an hour from before": (exported_so(lambda rows: rows.slice(0, 9)), {(DEALS, "lost")}, OTHER_EXPORT),
    "an hour exported wrong": (exported_so(first_flipped), {(DEALS, "altered")}, OTHER_EXPORT),
}
# Named by the verification alone.
OBJECTS = {
    "an object removed": (lambda lake: lake.object(DEALS).unlink(), "there is a manifest, but no object"),
    "a manifest removed": (lambda lake: lake.manifest(DEALS).unlink(), "there is no manifest"),
    "an object cut short": (cut, OTHER_BYTES),
    "a manifest of nothing": (
        lambda lake: lake.manifest(DEALS).write_bytes(b"{}"),
        "the manifest cannot be read",
    ),
    "a trade of production dropped": (statement(f"DELETE FROM {DEALS} WHERE {OF_A_DEAL}"), "the database"),
    "a trade of production altered": (
        statement(f"UPDATE {DEALS} SET size_e2 = size_e2 + 1 WHERE {OF_A_DEAL}"),
        "the database",
    ),
}
