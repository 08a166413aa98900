"""The schemas of answers, from which the documentation is made, and how completely a market is known."""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from flask import request
from marshmallow import INCLUDE, Schema, fields
from marshmallow.validate import OneOf

from admin.web.database import RequestDatabase
from app.markets.market import STATUSES
from app.ops.problems import ProblemError


def body(schema: type[Schema]) -> dict[str, Any]:
    """Return the request's JSON body, validated. Raise ProblemError if it is not JSON or does not fit the schema."""
    if not request.is_json:
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body must be JSON, with Content-Type: application/json."
        )
    try:
        content = msgspec.json.decode(request.get_data())
    except (ValueError, RecursionError) as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"The body is not JSON: {error}.") from error
    loaded: dict[str, Any] = schema().load(content)
    return loaded


# The time up to which the record of a market is known, and the times that no gatherer received.

MOST_HOLES = 100
IS_MARKET = "SELECT TRUE FROM markets WHERE ticker = %(ticker)s"
KNOWN_UNTIL = "SELECT known_until(%(ticker)s)"
HOLES = """
    SELECT greatest(lower(hole), asked.since), least(upper(hole), asked.until)
    FROM (
        SELECT coalesce(%(from)s::TIMESTAMPTZ, '-infinity') AS since, coalesce(%(to)s::TIMESTAMPTZ, 'infinity') AS until
    ) AS asked
    CROSS JOIN readable.coverage CROSS JOIN LATERAL unnest(holes) AS hole
    WHERE ticker = %(ticker)s AND channel = %(channel)s
        AND hour > asked.since - INTERVAL '1 hour' AND hour < asked.until
        AND upper(hole) > asked.since AND lower(hole) < asked.until
    ORDER BY lower(hole) DESC LIMIT %(limit)s
"""

EXCHANGE_KNOWN_UNTIL = "SELECT known_until FROM coverage_known WHERE known_until > hour ORDER BY hour DESC LIMIT 1"
HOLES_OF_RECORDS = """
    SELECT DISTINCT greatest(lower(hole), asked.since), least(upper(hole), asked.until)
    FROM (
        SELECT coalesce(%(from)s::TIMESTAMPTZ, '-infinity') AS since, coalesce(%(to)s::TIMESTAMPTZ, 'infinity') AS until
    ) AS asked
    CROSS JOIN coverage CROSS JOIN LATERAL unnest(holes) AS hole
    WHERE channel = %(channel)s
        AND hour > asked.since - INTERVAL '1 hour' AND hour < asked.until
        AND upper(hole) > asked.since AND lower(hole) < asked.until
        AND (
            ticker = '' OR ticker = coalesce(%(ticker)s, ticker)
            AND (%(event)s::TEXT IS NULL OR ticker IN (
                SELECT m.ticker FROM markets AS m WHERE event_ticker = %(event)s
            ))
            AND (%(series)s::TEXT IS NULL OR ticker IN (
                SELECT m.ticker FROM markets AS m JOIN events AS e USING (event_ticker) WHERE series_ticker = %(series)s
            ))
        )
    ORDER BY 1 DESC LIMIT %(limit)s
"""

Hole = tuple[datetime, datetime]
KNOWN_FIELDS: dict[str, fields.Field[Any]] = {
    "known_until": fields.DateTime(
        required=True,
        allow_none=True,
        metadata={"description": "Later, rows may still come. null: nothing is known yet."},
    ),
    "holes": fields.List(
        fields.List(fields.DateTime()),
        required=True,
        metadata={"description": f"Holes in the requested time: the last {MOST_HOLES}."},
    ),
}


class Known(NamedTuple):
    """How completely a market's channel is known."""

    known_until: datetime | None
    holes: list[Hole]

    def headers(self) -> dict[str, str]:
        """Return the same as headers, for answers that consist of rows only."""
        return {
            "Known-Until": self.known_until.isoformat() if self.known_until else "nothing is known yet",
            "Holes": ", ".join(f"{since.isoformat()}/{until.isoformat()}" for since, until in self.holes) or "none",
        }


def known_until(database: RequestDatabase, ticker: str) -> datetime | None:
    (until,) = database.row(KNOWN_UNTIL, {"ticker": ticker}) or (None,)
    moment: datetime | None = until
    return moment


def known_of(database: RequestDatabase, channel: str, asked: Mapping[str, Any]) -> Known:
    """Return how completely the market is known. Raise ProblemError if it does not exist: an empty list would look like
    a market that never traded."""
    if database.row(IS_MARKET, {"ticker": asked["ticker"]}) is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"No market {asked['ticker']} is known.")
    wanted = {"ticker": asked["ticker"], "from": asked.get("from"), "to": asked.get("to")}
    holes = database.rows(HOLES, {**wanted, "channel": channel, "limit": MOST_HOLES})
    return Known(known_until(database, asked["ticker"]), [(since, until) for since, until in holes])


def known_of_records(database: RequestDatabase, channel: str, asked: Mapping[str, Any]) -> Known:
    """Return how completely the channel is known for all markets, or for those that the request names."""
    names = {name: asked.get(name) for name in ("ticker", "event", "series")}
    wanted = {**names, "from": asked.get("from"), "to": asked.get("to"), "channel": channel, "limit": MOST_HOLES}
    (until,) = database.row(EXCHANGE_KNOWN_UNTIL) or (None,)
    return Known(until, [(since, until) for since, until in database.rows(HOLES_OF_RECORDS, wanted)])


def knowable_time(database: RequestDatabase, ticker: str, asked: datetime | None) -> datetime:
    """Return the requested time, or the last known one if none is requested. Raise ProblemError if it is not known
    yet."""
    until = known_until(database, ticker)
    latest = until or datetime.now(UTC)
    if asked is not None and asked > latest:
        raise ProblemError(
            HTTPStatus.CONFLICT,
            f"The book of {ticker} is known until {latest.isoformat()}: request that time or an earlier one.",
            more={"known_until": until},
        )
    return asked or latest


class ProblemSchema(Schema):
    type = fields.String()
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    errors = fields.Dict(metadata={"description": "What is wrong, by the parameter's or field's name."})
    known_until = fields.DateTime(allow_none=True, metadata={"description": "The last time that can be asked for."})
    near = fields.List(fields.String(), metadata={"description": "Of an unknown name: those that are near it."})


class ThingSchema(Schema):
    class Meta:
        unknown = INCLUDE

    title = fields.String(required=True)
    details = fields.Dict(required=True, metadata={"description": "The exchange's object, without quotes."})
    updated_at = fields.DateTime(metadata={"description": "When it last changed here."})


class MarketSchema(ThingSchema):
    ticker = fields.String(required=True)
    event_ticker = fields.String(required=True)
    series_ticker = fields.String(allow_none=True)
    event_title = fields.String(allow_none=True)
    status = fields.String(required=True, validate=OneOf(STATUSES))
    market_type = fields.String(required=True, metadata={"example": "binary"})
    result = fields.String(required=True, metadata={"description": "yes or no; empty before it is known."})
    exchange_index = fields.Integer(allow_none=True, metadata={"description": "The exchange's shard that trades it."})
    yes_bid = fields.String(allow_none=True, metadata={"example": "0.420000"})
    yes_ask = fields.String(allow_none=True, metadata={"example": "0.450000"})
    last_price = fields.String(allow_none=True, metadata={"example": "0.440000"})
    volume = fields.String(allow_none=True, metadata={"description": "In contracts.", "example": "10.00"})
    yes_bid_e6 = fields.Integer(allow_none=True)
    yes_ask_e6 = fields.Integer(allow_none=True)
    last_price_e6 = fields.Integer(allow_none=True)
    volume_e2 = fields.Integer(allow_none=True)
    quoted_at = fields.DateTime(
        allow_none=True, metadata={"description": "When prices and volume were announced; null: they never were."}
    )
    open_time = fields.DateTime(allow_none=True)
    close_time = fields.DateTime(allow_none=True)
    expiration_time = fields.DateTime(allow_none=True)
    updated_time = fields.DateTime(
        allow_none=True, metadata={"description": "When it last changed at the exchange, other than by trading."}
    )


class EventSchema(ThingSchema):
    event_ticker = fields.String(required=True)
    series_ticker = fields.String(required=True)


class SeriesSchema(ThingSchema):
    ticker = fields.String(required=True)
    category = fields.String(allow_none=True)


class DiscardedSchema(Schema):
    table_name = fields.String(allow_none=True, metadata={"description": "null: a frame that could not be parsed"})
    reason = fields.String(required=True)
    payload_base64 = fields.String(required=True)


class QuarantinedRowSchema(DiscardedSchema):
    quarantine_id = fields.Integer(required=True)
    quarantined_at = fields.DateTime(required=True)


class LevelSchema(Schema):
    price = fields.String(required=True, metadata={"example": "0.420000"})
    contracts = fields.String(required=True, metadata={"example": "10.00"})
    price_e6 = fields.Integer(required=True)
    size_e2 = fields.Integer(required=True)


class BookSchema(Schema):
    ticker = fields.String(required=True)
    at = fields.DateTime(required=True)
    state = fields.String(
        required=True,
        validate=OneOf(["complete", "hole", "unknown"]),
        metadata={
            "description": "Whether everything was received; hole: no gatherer received everything then, see `hole`."
        },
    )
    known_until = KNOWN_FIELDS["known_until"]
    hole = fields.List(
        fields.DateTime(), required=True, allow_none=True, metadata={"description": "In which the time lies: from, to."}
    )
    based_on = fields.DateTime(required=True, metadata={"description": "The snapshot that changes were counted from."})
    source = fields.String(required=True, metadata={"description": "Of the snapshot: ws or rest."})
    changes = fields.Integer(required=True, metadata={"description": "Since the snapshot."})
    audited_until = fields.DateTime(
        required=True,
        allow_none=True,
        metadata={"description": "Until then the changes were compared with snapshots; later ones are not proven so."},
    )
    proven_until = fields.DateTime(
        required=True,
        allow_none=True,
        metadata={
            "description": "Until then the exchange itself confirmed the book: all of it by a snapshot, or its best "
            "levels by a quote."
        },
    )
    yes = fields.List(fields.Nested(LevelSchema), required=True, metadata={"description": "Bids, the best first."})
    no = fields.List(
        fields.Nested(LevelSchema), required=True, metadata={"description": "Bids at NO prices, the best first."}
    )
    yes_bid = fields.String(allow_none=True)
    yes_ask = fields.String(allow_none=True, metadata={"description": "1 less the best NO bid."})


class CandleSchema(Schema):
    start = fields.DateTime(required=True)
    open_e6 = fields.Integer(required=True)
    high_e6 = fields.Integer(required=True)
    low_e6 = fields.Integer(required=True)
    close_e6 = fields.Integer(required=True)
    volume_e2 = fields.Integer(required=True)
    trades = fields.Integer(required=True)


UNRECORDED = fields.List(
    fields.List(fields.DateTime()),
    required=True,
    metadata={"description": "The parts of these holes that lie before the record began."},
)


class CandlesSchema(Schema):
    candles = fields.List(fields.Nested(CandleSchema), required=True)
    next = fields.DateTime(allow_none=True, metadata={"description": "Where to go on: as `from`."})
    known_until = KNOWN_FIELDS["known_until"]
    holes = KNOWN_FIELDS["holes"]
    unrecorded = UNRECORDED


class DepthStepSchema(Schema):
    at = fields.DateTime(required=True)
    yes_bid_e6 = fields.Integer(required=True, allow_none=True, metadata={"description": "null: nobody bids."})
    yes_ask_e6 = fields.Integer(required=True, allow_none=True)
    yes_bid_depth_e2 = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Of all levels; null: in a hole, or without a book."}
    )
    yes_ask_depth_e2 = fields.Integer(required=True, allow_none=True)


class DepthSchema(Schema):
    steps = fields.List(fields.Nested(DepthStepSchema), required=True)
    known_until = KNOWN_FIELDS["known_until"]
    holes = KNOWN_FIELDS["holes"]
    unrecorded = UNRECORDED


class StatusSchema(Schema):
    level = fields.String(
        required=True,
        validate=OneOf(["green", "amber", "red"]),
        metadata={"description": "green: all is well; amber: redundancy or certainty is lacking; red: data is lost."},
    )
    sentence = fields.String(required=True, metadata={"description": "The state in one sentence, for people."})
    problem = fields.String(required=True, allow_none=True, metadata={"description": "The worst one; null: green."})
    remedy = fields.String(required=True, allow_none=True, metadata={"description": "What mends it."})
    page = fields.String(required=True, allow_none=True, metadata={"description": "Where it is shown."})
    markets = fields.Integer(required=True, metadata={"description": "Whose books are recorded now."})
    gatherers = fields.Integer(
        required=True, metadata={"description": "That KALSHI_GATHERER_OPS names, or that were read within 7 days."}
    )
    gatherers_recording = fields.Integer(required=True)
    complete_since = fields.DateTime(
        required=True,
        allow_none=True,
        metadata={
            "description": "From then until `proven_until` no market has a hole, apart from any that just opened. "
            "At most 31 days ago. null: `proven_until` lies in a hole, or nothing is known."
        },
    )
    proven_until = fields.DateTime(
        required=True,
        allow_none=True,
        metadata={"description": "Up to then it is known what was received, and books were compared with all quotes."},
    )
    merged_until = fields.DateTime(
        required=True,
        allow_none=True,
        metadata={"description": "Production has everything that recording gatherers received up to then."},
    )


class JobSchema(Schema):
    job_id = fields.Integer(required=True)


class RewindSchema(Schema):
    dry_run = fields.Boolean(required=True)
    cursors = fields.List(fields.Dict(), required=True, metadata={"description": "As they were before."})


class RetriedSchema(Schema):
    stored = fields.Boolean(required=True, metadata={"description": "false: the table had it already."})


class OfGatherersSchema(Schema):
    gatherers = fields.List(fields.Dict(), required=True)
