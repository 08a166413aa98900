"""When rows of several gatherers are one event, and what production keeps of them: the one place that says so.

Rows with the same primary key are one event. The key is made of what the exchange says and of `nth`, which every
connection counts alike; so the union of all rows is the union by greatest multiplicity: what one gatherer heard
twice and another once happened twice. Neither order nor repetition matters, and reading a row again changes nothing.

Beyond the key:
- A time can differ between copies, where the exchange says none (`ts_missing`), where a trade's is told finer by REST
  than by the older stream, and of lifecycle messages, which carry only when they were sent. Copies are then found by
  the rest of their identity within a window, and take the best time among them; a row that is here already with a worse
  one is withdrawn and comes back with the better.
    - A change without a time is found by its clock. Without a clock too, nothing tells copies from repetitions: each
      stays.
    - A quote without a time is found by its content within a second.
    - A trade is found by its id. A time that is no whole second is the finer one, and of two the earlier is nearer.
    - A lifecycle message is found by its content. The same may be announced twice: copies within a few seconds are one
      event, the nearest in time, and what one gatherer told apart is not; app/merge/announcements.py looks at all
      copies together, and production keeps which it had. The time of the copy that came first stays. Where copies are
      not known any more, as of rows of a lake, rows within the same seconds are (app/lake/announcements.py).
- `after_gap` is false as soon as one copy's is: a gatherer that had lost nothing heard it too.
- `from_rest` is false as soon as one copy came by the stream, and `is_block_trade` is what any copy says.
- Copies of one trade that differ in price, size or side are a finding: all versions are kept in `differing_trades`. The
  trade is what the stream said rather than REST, and of several such versions the least one: whichever came first.
- Books are samples, and each is kept. Two different ones of the same market and microsecond, which two gatherers may
  take, are kept a microsecond apart, and one in full counts for more than its confirmation; so whichever book a
  confirmation means by its digest is here in full.
"""

from datetime import timedelta
from typing import NamedTuple

from app.storage.tables import (
    PRODUCTION_LIFECYCLE_EVENTS,
    PRODUCTION_ORDERBOOK_DELTAS,
    PRODUCTION_ORDERBOOK_SNAPSHOTS,
    PRODUCTION_TICKERS,
    PRODUCTION_TRADES,
    Table,
)


class Copies(NamedTuple):
    """How rows of one event are found whose times differ. In SQL, `seeker` and `staged` are rows just read, `stored`
    is one of production, and `candidate` any."""

    identity: tuple[str, ...]
    window: timedelta
    seeking: str  # which rows look for a copy with a better time
    best: str  # the order of copies, the one with the best time first
    withdrawn: str | None  # which rows of production give way; None: none ever does


class Improvement(NamedTuple):
    """What a row of production learns from another copy."""

    columns: str
    copy: str  # of the rows just read, one for each key
    applies: str


class Rule(NamedTuple):
    table: Table
    key: tuple[str, ...]
    preferred: tuple[str, ...] = ()  # of rows just read with the same key, the one that is least in these
    copies: Copies | None = None
    improvement: Improvement | None = None
    told: tuple[str, ...] = ()  # what all copies should say alike; where they do not, it is noted
    marked: tuple[str, ...] = ()  # only where one of these flags is set, a row of production gives way or improves
    is_sample: bool = False
    are_announcements: bool = False  # merged by all their copies, not by a key


DISTANCE = "greatest(candidate.exchange_ts - seeker.exchange_ts, seeker.exchange_ts - candidate.exchange_ts)"
TIMED_AND_NEAREST = f"""
    candidate.ts_missing, CASE WHEN NOT candidate.ts_missing THEN {DISTANCE} END,
    candidate.is_staged, candidate.exchange_ts
"""

DELTAS = Rule(
    PRODUCTION_ORDERBOOK_DELTAS,
    ("exchange_ts", "ticker", "clock", "yes_side", "price_e6", "delta_e2", "nth"),
    preferred=("ts_missing", "after_gap"),
    copies=Copies(
        ("ticker", "clock", "yes_side", "price_e6", "delta_e2", "nth"),
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
TRADES = Rule(
    PRODUCTION_TRADES,
    ("exchange_ts", "trade_id"),
    preferred=("from_rest", "yes_price_e6", "size_e2", "taker_yes", "is_block_trade"),
    copies=Copies(
        ("trade_id",),
        window=timedelta(hours=1),
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
    ("exchange_ts", "ticker", "digest", "nth"),
    preferred=("ts_missing",),
    copies=Copies(
        ("ticker", "digest", "nth"),
        window=timedelta(seconds=1),
        seeking="seeker.ts_missing",
        best=TIMED_AND_NEAREST,
        withdrawn="stored.ts_missing AND NOT staged.ts_missing",
    ),
    marked=("ts_missing",),
)
SNAPSHOTS = Rule(
    PRODUCTION_ORDERBOOK_SNAPSHOTS,
    ("snapshot_ts", "ticker", "source"),
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
    ("exchange_ts", "ticker", "event_type", "digest", "nth"),
    copies=Copies(
        ("ticker", "event_type", "digest", "nth"),
        window=timedelta(seconds=5),
        seeking="TRUE",
        best=f"candidate.is_staged, {DISTANCE}, candidate.exchange_ts",
        withdrawn=None,
    ),
    are_announcements=True,
)
RULES = (DELTAS, TRADES, TICKERS, SNAPSHOTS, LIFECYCLE_EVENTS)
