"""A market through time: candles of its trades, and the best prices and the depth of its book, step by step.

In: a period. Out: JSON, with the holes in it and the time up to which it is known. The book of each step is what
recorded_book() returns for its time. It is read at the beginning, after each hole and after each snapshot; in between,
changes are added.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Blueprint, Response, request
from marshmallow import fields
from marshmallow.validate import OneOf, Range

from admin.api.lists import json_answer
from admin.api.paging import asked_time
from admin.api.schemas import CandlesSchema, DepthSchema, Hole, known_of
from admin.web.database import RequestDatabase
from app.coverage.evidence import BOOKS, TRADES
from app.normalize.values import ONE_DOLLAR_E6
from app.ops.endpoint import TimeRange, checked_path, endpoint
from app.ops.problems import ProblemError

# Trades of one millisecond are in the order that app/lake/candles.py gives them.
CANDLES = """
    SELECT coalesce(json_agg(candle ORDER BY start), '[]')::TEXT FROM (
        SELECT
            date_bin(%(interval)s, exchange_ts, 'epoch') AS start,
            (array_agg(yes_price_e6 ORDER BY exchange_ts, received_at, badness, trade_id))[1] AS open_e6,
            max(yes_price_e6) AS high_e6, min(yes_price_e6) AS low_e6,
            (array_agg(yes_price_e6 ORDER BY exchange_ts DESC, received_at DESC, badness DESC, trade_id DESC))[1]
                AS close_e6,
            sum(size_e2)::BIGINT AS volume_e2, count(*) AS trades
        FROM (
            SELECT *, CASE WHEN taker_yes THEN yes_price_e6 ELSE -yes_price_e6 END AS badness FROM trades
        ) AS placed WHERE ticker = %(ticker)s AND exchange_ts >= %(from)s AND exchange_ts < %(to)s
        GROUP BY 1
    ) AS candle
"""
UNRECORDED = """
    SELECT since, until FROM coverage_holes
    WHERE kind = 'unrecorded' AND channel = %(channel)s AND ticker IN (%(ticker)s, '')
        AND until > coalesce(%(from)s::TIMESTAMPTZ, '-infinity')
        AND since < coalesce(%(to)s::TIMESTAMPTZ, 'infinity')
    ORDER BY since
"""
INTERVALS = {"1m": timedelta(minutes=1), "1h": timedelta(hours=1), "1d": timedelta(days=1)}
MOST_CANDLES = 1_000

CandlesQuery = TimeRange.from_dict(
    {
        "interval": fields.String(load_default="1m", validate=OneOf(list(INTERVALS))),
        "from": asked_time(),
        "to": asked_time(),
    },
    name="candles_query",
)
MOST_STEPS = 500
DepthQuery = TimeRange.from_dict(
    {
        "from": asked_time(),
        "to": asked_time(),
        "steps": fields.Integer(load_default=120, validate=Range(1, MOST_STEPS)),
    },
    name="depth_query",
)


def history_blueprint(database: RequestDatabase) -> Blueprint:
    blueprint = Blueprint("history", __name__, url_prefix="/admin/markets/<ticker>")
    candles_query, depth_query = CandlesQuery(), DepthQuery()

    @blueprint.get("/candles")
    @endpoint(
        "Prices and volumes of a market's trades by minute, hour or day.", query=CandlesQuery, answer=CandlesSchema
    )
    def candles(ticker: str) -> Response:
        asked = candles_query.load(request.args)
        found, following = candles_of(database, checked_path({"ticker": ticker})["ticker"], asked)
        known = known_of(database, TRADES, {**asked, "ticker": ticker})
        unrecorded = unrecorded_of(database, TRADES, {**asked, "ticker": ticker})
        rest = msgspec.json.encode({"next": following, **known._asdict(), "unrecorded": unrecorded}).decode()
        return json_answer(f'{{"candles":{found},{rest[1:]}'.encode())

    @blueprint.get("/depth")
    @endpoint(
        "Best prices and depth of a market's book, in steps of equal length up to the last time that is known: of the "
        "last hour, unless a time is requested.",
        query=DepthQuery,
        answer=DepthSchema,
    )
    def depth(ticker: str) -> Response:
        asked = depth_query.load(request.args)
        return json_answer(depth_of(database, checked_path({"ticker": ticker})["ticker"], asked))

    return blueprint


def unrecorded_of(database: RequestDatabase, channel: str, asked: Mapping[str, Any]) -> list[Hole]:
    """Return the parts of holes in the period that lie before the record of the channel began."""
    period = {"channel": channel, "ticker": asked["ticker"], "from": asked.get("from"), "to": asked.get("to")}
    return [(since, until) for since, until in database.rows(UNRECORDED, period)]


def candles_of(database: RequestDatabase, ticker: str, asked: Mapping[str, Any]) -> tuple[str, datetime | None]:
    """Return the candles as JSON, and where the next ones begin. The latter is None if the requested time has no
    more."""
    interval = INTERVALS[asked["interval"]]
    until = asked.get("to", datetime.now(UTC))
    since = asked.get("from", until - MOST_CANDLES * interval)
    most = since + MOST_CANDLES * interval
    end = min(until, most)
    times = {"ticker": ticker, "interval": interval, "from": since, "to": end}
    (found,) = database.rows(CANDLES, times)[0]
    return found, most if most < until else None


# The book over time.

USUAL_PERIOD = timedelta(hours=1)
LONGEST_PERIOD = timedelta(days=1)
READ_BOOKS = """
    SELECT book.based_on IS NOT NULL, book.yes_sides, book.prices_e6, book.sizes_e2
    FROM unnest(%(times)s::TIMESTAMPTZ[]) AS moment
    LEFT JOIN LATERAL recorded_book(%(ticker)s, moment) AS book ON TRUE
    ORDER BY moment
"""
SNAPSHOTS = """
    SELECT snapshot_ts FROM orderbook_snapshots
    WHERE ticker = %(ticker)s AND snapshot_ts > %(from)s AND snapshot_ts <= %(to)s AND yes_prices_e6 IS NOT NULL
"""
# A change belongs to the first step that is not before it.
CHANGES = """
    SELECT
        width_bucket(exchange_ts - INTERVAL '1 microsecond', %(times)s::TIMESTAMPTZ[]) AS step, yes_side, price_e6,
        sum(delta_e2)::BIGINT
    FROM orderbook_deltas WHERE ticker = %(ticker)s AND exchange_ts > %(from)s AND exchange_ts <= %(to)s
    GROUP BY step, yes_side, price_e6
"""

Levels = dict[tuple[bool, int], int]  # size by side and price


def depth_of(database: RequestDatabase, ticker: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    known = known_of(database, BOOKS, {"ticker": ticker})
    until = min(asked.get("to", datetime.max.replace(tzinfo=UTC)), known.known_until or datetime.now(UTC))
    since = asked.get("from", until - USUAL_PERIOD)
    if until - since > LONGEST_PERIOD:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "The period is too long: request a day at most.")
    if since >= until:
        return {"steps": [], **known._replace(holes=[])._asdict(), "unrecorded": []}
    period = {"ticker": ticker, "from": since, "to": until}
    holes = known_of(database, BOOKS, period).holes
    times = [since + (until - since) * number / asked["steps"] for number in range(asked["steps"] + 1)]
    books = _books_at(database, ticker, times, [end for _, end in holes])
    steps = [_step(moment, None if _is_in(moment, holes) else book) for moment, book in zip(times, books, strict=True)]
    unrecorded = unrecorded_of(database, BOOKS, period)
    return {"steps": steps, "known_until": known.known_until, "holes": holes, "unrecorded": unrecorded}


def _books_at(
    database: RequestDatabase, ticker: str, times: Sequence[datetime], ends: Sequence[datetime]
) -> Iterator[Levels | None]:
    """Yield the book at each time. It is read where the changes since the last time do not lead to it: after a hole,
    after a snapshot, and at first."""
    asked = {"ticker": ticker, "times": list(times), "from": times[0], "to": times[-1]}
    changes: dict[int, list[tuple[tuple[bool, int], int]]] = {}
    for step, yes_side, price_e6, delta_e2 in database.rows(CHANGES, asked):
        changes.setdefault(step, []).append(((yes_side, price_e6), delta_e2))
    anew = [*ends, *(moment for (moment,) in database.rows(SNAPSHOTS, asked))]
    steps = sorted({0, *(bisect_left(times, moment) for moment in anew if moment <= times[-1])})
    read = database.rows(READ_BOOKS, {"ticker": ticker, "times": [times[step] for step in steps]})
    books = dict(zip(steps, read, strict=True))
    book: Levels | None = None
    for step in range(len(times)):
        if step in books:
            book = _levels(*books[step])
        elif book is not None:
            for level, delta_e2 in changes.get(step, ()):
                book[level] = book.get(level, 0) + delta_e2
        yield book


def _levels(
    is_there: bool, sides: list[bool] | None, prices: list[int] | None, sizes: list[int] | None
) -> Levels | None:
    """Return the book by level. Return None if there is no snapshot to begin with."""
    if not is_there:
        return None
    levels = zip(sides or (), prices or (), sizes or (), strict=True)
    return {(side, price_e6): size_e2 for side, price_e6, size_e2 in levels}


def _step(moment: datetime, book: Levels | None) -> dict[str, Any]:
    bids, offers = (
        {price: size for (yes, price), size in (book or {}).items() if yes is side and size > 0}
        for side in (True, False)
    )
    return {
        "at": moment,
        "yes_bid_e6": max(bids, default=None),
        "yes_ask_e6": ONE_DOLLAR_E6 - max(offers) if offers else None,
        "yes_bid_depth_e2": None if book is None else sum(bids.values()),
        "yes_ask_depth_e2": None if book is None else sum(offers.values()),
    }


def _is_in(moment: datetime, holes: Sequence[Hole]) -> bool:
    return any(since <= moment < until for since, until in holes)
