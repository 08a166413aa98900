"""What answers are made of, for those who read the documentation."""

from marshmallow import INCLUDE, Schema, fields
from marshmallow.validate import OneOf

from admin.knowledge import KNOWN_FIELDS
from app.registry.market import STATUSES


class Problem(Schema):
    type = fields.String()
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    errors = fields.Dict(metadata={"description": "What is wrong, by the parameter's or field's name."})
    known_until = fields.DateTime(allow_none=True, metadata={"description": "The last time that can be asked for."})


class Thing(Schema):
    class Meta:
        unknown = INCLUDE

    title = fields.String(required=True)
    details = fields.Dict(required=True, metadata={"description": "The exchange's object, without quotes."})
    updated_at = fields.DateTime(metadata={"description": "When it last changed here."})


class Market(Thing):
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


class Event(Thing):
    event_ticker = fields.String(required=True)
    series_ticker = fields.String(required=True)


class Series(Thing):
    ticker = fields.String(required=True)
    category = fields.String(allow_none=True)


class Discarded(Schema):
    table_name = fields.String(allow_none=True, metadata={"description": "null: a frame that was not understood"})
    reason = fields.String(required=True)
    payload_base64 = fields.String(required=True)


class QuarantinedRow(Discarded):
    quarantine_id = fields.Integer(required=True)
    quarantined_at = fields.DateTime(required=True)


class Level(Schema):
    price = fields.String(required=True, metadata={"example": "0.420000"})
    contracts = fields.String(required=True, metadata={"example": "10.00"})
    price_e6 = fields.Integer(required=True)
    size_e2 = fields.Integer(required=True)


class Book(Schema):
    ticker = fields.String(required=True)
    at = fields.DateTime(required=True)
    state = fields.String(
        required=True,
        validate=OneOf(["complete", "hole", "unknown"]),
        metadata={"description": "Whether everything was heard; hole: nobody heard all of it then, see `hole`."},
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
    yes = fields.List(fields.Nested(Level), required=True, metadata={"description": "Bids, the best first."})
    no = fields.List(
        fields.Nested(Level), required=True, metadata={"description": "Bids at NO prices, the best first."}
    )
    yes_bid = fields.String(allow_none=True)
    yes_ask = fields.String(allow_none=True, metadata={"description": "1 less the best NO bid."})


class Candle(Schema):
    start = fields.DateTime(required=True)
    open_e6 = fields.Integer(required=True)
    high_e6 = fields.Integer(required=True)
    low_e6 = fields.Integer(required=True)
    close_e6 = fields.Integer(required=True)
    volume_e2 = fields.Integer(required=True)
    trades = fields.Integer(required=True)


class Candles(Schema):
    candles = fields.List(fields.Nested(Candle), required=True)
    next = fields.DateTime(allow_none=True, metadata={"description": "Where to go on: as `from`."})
    known_until = KNOWN_FIELDS["known_until"]
    holes = KNOWN_FIELDS["holes"]


class Job(Schema):
    job_id = fields.Integer(required=True)


class Rewind(Schema):
    dry_run = fields.Boolean(required=True)
    cursors = fields.List(fields.Dict(), required=True, metadata={"description": "As they were before."})


class Retried(Schema):
    stored = fields.Boolean(required=True, metadata={"description": "false: the table had it already."})


class OfGatherers(Schema):
    gatherers = fields.List(fields.Dict(), required=True)
