"""What requests may ask for."""

from marshmallow import Schema, fields
from marshmallow.validate import Length, Range

TICKER_LENGTH = Length(min=1, max=200)
MOST_MARKETS = 1_000


class MarketsQuery(Schema):
    limit = fields.Integer(load_default=100, validate=Range(min=1, max=MOST_MARKETS))
    after = fields.String(load_default="", validate=Length(max=TICKER_LENGTH.max))


class SubscriptionsQuery(Schema):
    ticker = fields.String(load_default=None, validate=TICKER_LENGTH)


class MarketPath(Schema):
    ticker = fields.String(required=True, validate=TICKER_LENGTH)
