"""The rules of merging: when rows of several gatherers are one event, and which values production keeps of them.

Rows with the same primary key, `identity` in app/storage/tables.py, are one event. The key consists of the exchange's
own values and of `nth`, a number that every connection counts alike. So the union of all rows is the union by greatest
multiplicity: an event that one gatherer received twice and another once happened twice. Neither order nor repetition
matters, and reading a row again changes nothing.

Beyond the key:
- A time can differ between copies: where the exchange gives none (`ts_missing`), where REST gives a trade's time finer
  than the older stream does, and for lifecycle messages, which carry only the time at which they were sent. Copies are
  then found by the rest of their identity within a window, and take the best time among them. A row of production with
  a worse time is withdrawn and inserted again with the better one.
    - A change without a time is found by its clock. Without a clock too, copies cannot be distinguished from
      repetitions: each row stays.
    - A quote without a time is found by its content within a second.
    - A trade is found by its id. A time that is not a whole second is the finer one; of two finer times the earlier is
      nearer to the trade.
    - A lifecycle message is found by its content. An announcement may be repeated: copies within a few seconds are one
      event, the nearest in time; but two messages that one gatherer numbered differently are two events.
      app/merge/announcements.py looks at all copies together, and production stores which copies it had. The time of
      the copy that arrived first stays. Where copies are no longer known, as for rows of a lake, rows within the same
      seconds are one event (app/lake/announcements.py).
- `after_gap` is false as soon as one copy's is: a gatherer without a gap received the event too.
- `from_rest` is false as soon as one copy arrived by the stream. `is_block_trade` is the value of any copy that has
  one.
- Copies of one trade that differ in price, size or side are a finding: all versions are kept in `differing_trades`. The
  trade takes the stream's version rather than REST's, and of several versions of one source the least, whichever
  arrived first.
- Books are samples, and each is kept. Two different books of the same market and microsecond, which two gatherers may
  take, are kept a microsecond apart. A full book replaces its confirmation (a digest without levels); so every book
  that a confirmation refers to by its digest is here in full.
"""

from datetime import timedelta
from typing import NamedTuple

from app.normalize.events import COPIES_US
from app.storage.tables import (
    PRODUCTION_LIFECYCLE_EVENTS,
    PRODUCTION_ORDERBOOK_DELTAS,
    PRODUCTION_ORDERBOOK_SNAPSHOTS,
    PRODUCTION_TICKERS,
    PRODUCTION_TRADES,
    Table,
)


class Copies(NamedTuple):
    """The way to find rows of one event whose times differ. In the SQL, `seeker` and `staged` are rows just read,
    `stored` is a row of production, and `candidate` is either."""

    identity: tuple[str, ...]
    window: timedelta
    seeking: str  # condition: the row looks for a copy with a better time
    best: str  # the order of copies, the one with the best time first
    withdrawn: str | None  # condition: the row of production is replaced by a staged one. None: never


class Improvement(NamedTuple):
    """The columns that a row of production takes from another copy, and the condition for that."""

    columns: str
    copy: str  # query of the rows just read, one for each key
    applies: str


class Rule(NamedTuple):
    """The rule by which rows of one table are merged: their key, and what is done about copies that the key does not
    find."""

    table: Table
    key: tuple[str, ...]
    # Among rows just read with the same key, the one with the least values of these columns wins
    preferred: tuple[str, ...] = ()
    copies: Copies | None = None
    improvement: Improvement | None = None
    told: tuple[str, ...] = ()  # columns that all copies should agree on; a difference is recorded
    marked: tuple[str, ...] = ()  # a row of production is withdrawn or improved only if one of these flags is set
    is_sample: bool = False
    are_announcements: bool = False  # merged by all their copies (announcements.py), not by a key


DISTANCE = "greatest(candidate.exchange_ts - seeker.exchange_ts, seeker.exchange_ts - candidate.exchange_ts)"
TIMED_AND_NEAREST = f"""
    candidate.ts_missing, CASE WHEN NOT candidate.ts_missing THEN {DISTANCE} END,
    candidate.is_staged, candidate.exchange_ts
"""

DELTAS = Rule(
    PRODUCTION_ORDERBOOK_DELTAS,
    PRODUCTION_ORDERBOOK_DELTAS.identity,
    preferred=("ts_missing", "after_gap"),
    copies=Copies(
        PRODUCTION_ORDERBOOK_DELTAS.timeless_identity,
        window=timedelta(minutes=2),
        seeking="seeker.ts_missing AND seeker.clock >= 0",
        best=TIMED_AND_NEAREST,
        withdrawn="stored.ts_missing AND NOT staged.ts_missing AND stored.clock >= 0",
    ),
    improvement=Improvement(
        "after_gap = FALSE",
        "SELECT * FROM staging WHERE NOT after_gap",
        "stored.after_gap",
    ),
    marked=("ts_missing", "after_gap"),
)
BETTER_TOLD = """(
    (copy.from_rest, copy.yes_price_e6, copy.size_e2, copy.taker_yes)
    < (stored.from_rest, stored.yes_price_e6, stored.size_e2, stored.taker_yes)
)"""
TRADE_COPIES_WITHIN = timedelta(hours=1)
TRADES = Rule(
    PRODUCTION_TRADES,
    PRODUCTION_TRADES.identity,
    preferred=("from_rest", "yes_price_e6", "size_e2", "taker_yes", "is_block_trade"),
    copies=Copies(
        PRODUCTION_TRADES.timeless_identity,
        window=TRADE_COPIES_WITHIN,
        seeking="TRUE",
        best="candidate.exchange_ts = date_trunc('second', candidate.exchange_ts), candidate.exchange_ts",
        withdrawn="stored.exchange_ts <> staged.exchange_ts",
    ),
    improvement=Improvement(
        f"""
        from_rest = stored.from_rest AND copy.from_rest,
        is_block_trade = coalesce(stored.is_block_trade, copy.is_block_trade),
        yes_price_e6 = CASE WHEN {BETTER_TOLD} THEN copy.yes_price_e6 ELSE stored.yes_price_e6 END,
        size_e2 = CASE WHEN {BETTER_TOLD} THEN copy.size_e2 ELSE stored.size_e2 END,
        taker_yes = CASE WHEN {BETTER_TOLD} THEN copy.taker_yes ELSE stored.taker_yes END
        """,
        """
        SELECT DISTINCT ON (exchange_ts, trade_id)
            exchange_ts, trade_id, from_rest, yes_price_e6, size_e2, taker_yes,
            bool_or(is_block_trade) OVER (PARTITION BY exchange_ts, trade_id) AS is_block_trade
        FROM staging ORDER BY exchange_ts, trade_id, from_rest, yes_price_e6, size_e2, taker_yes
        """,
        f"{BETTER_TOLD} OR (stored.is_block_trade IS NULL AND copy.is_block_trade IS NOT NULL)",
    ),
    told=("yes_price_e6", "size_e2", "taker_yes"),
)
TICKERS = Rule(
    PRODUCTION_TICKERS,
    PRODUCTION_TICKERS.identity,
    preferred=("ts_missing",),
    copies=Copies(
        PRODUCTION_TICKERS.timeless_identity,
        window=timedelta(seconds=1),
        seeking="seeker.ts_missing",
        best=TIMED_AND_NEAREST,
        withdrawn="stored.ts_missing AND NOT staged.ts_missing",
    ),
    marked=("ts_missing",),
)
SNAPSHOTS = Rule(
    PRODUCTION_ORDERBOOK_SNAPSHOTS,
    PRODUCTION_ORDERBOOK_SNAPSHOTS.identity,
    preferred=("yes_prices_e6",),
    improvement=Improvement(
        """
        yes_prices_e6 = copy.yes_prices_e6, yes_sizes_e2 = copy.yes_sizes_e2,
        no_prices_e6 = copy.no_prices_e6, no_sizes_e2 = copy.no_sizes_e2
        """,
        "SELECT * FROM staging WHERE yes_prices_e6 IS NOT NULL",
        "stored.yes_prices_e6 IS NULL AND stored.levels_digest = copy.levels_digest",
    ),
    is_sample=True,
)
LIFECYCLE_EVENTS = Rule(
    PRODUCTION_LIFECYCLE_EVENTS,
    PRODUCTION_LIFECYCLE_EVENTS.identity,
    copies=Copies(
        PRODUCTION_LIFECYCLE_EVENTS.timeless_identity,
        window=timedelta(microseconds=COPIES_US),
        seeking="TRUE",
        best=f"candidate.is_staged, {DISTANCE}, candidate.exchange_ts",
        withdrawn=None,
    ),
    are_announcements=True,
)
RULES = (DELTAS, TRADES, TICKERS, SNAPSHOTS, LIFECYCLE_EVENTS)
