"""What requests may ask for."""

from collections.abc import Mapping

from marshmallow import Schema, ValidationError, fields
from marshmallow.validate import Length, Range, Regexp

TICKER_LENGTH = Length(min=1, max=200)
MOST_MARKETS = 1_000
PRINTABLE = Regexp(r"[^\x00-\x1f\x7f\ud800-\udfff]*\Z", error="It has characters that nothing here has.")


class MarketsQuery(Schema):
    limit = fields.Integer(load_default=100, validate=Range(min=1, max=MOST_MARKETS))
    after = fields.String(load_default="", validate=Length(max=TICKER_LENGTH.max))


class SubscriptionsQuery(Schema):
    ticker = fields.String(load_default=None, validate=TICKER_LENGTH)


class MarketPath(Schema):
    ticker = fields.String(required=True, validate=TICKER_LENGTH)


class NoQuery(Schema):
    pass


def checked_path(path: Mapping[str, str]) -> Mapping[str, str]:
    """Parts of an address are names of things."""
    for name, value in path.items():
        try:
            TICKER_LENGTH(value)
            PRINTABLE(value)
        except ValidationError as error:
            raise ValidationError({name: error.messages}) from error
    return path
