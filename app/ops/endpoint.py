"""Describe endpoints in one place: who may use them, and their documentation."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

from marshmallow import Schema, ValidationError, fields, validates_schema
from marshmallow.validate import Length, Range, Regexp

from app.runtime.secrets import TokenRole

View = TypeVar("View", bound=Callable[..., Any])
JSON = "application/json"
ATTRIBUTE = "described_as"


class Description(NamedTuple):
    summary: str
    role: TokenRole
    query: type[Schema] | None = None
    body: type[Schema] | None = None
    answer: type[Schema] | None = None
    status: HTTPStatus = HTTPStatus.OK
    types: tuple[str, ...] = (JSON,)


def endpoint(
    summary: str,
    role: TokenRole = TokenRole.READ,
    query: type[Schema] | None = None,
    body: type[Schema] | None = None,
    answer: type[Schema] | None = None,
    status: HTTPStatus = HTTPStatus.OK,
    types: tuple[str, ...] = (JSON,),
) -> Callable[[View], View]:
    """Return a decorator that attaches the description to a view."""

    def mark(view: View) -> View:
        setattr(view, ATTRIBUTE, Description(summary, role, query, body, answer, status, types))
        return view

    return mark


def description_of(view: Callable[..., Any] | None) -> Description | None:
    """Return the view's description, or None if it has none."""
    return getattr(view, ATTRIBUTE, None)


# Schemas of request parameters.

Part = TypeVar("Part", str, str | int)

TICKER_LENGTH = Length(min=1, max=200)
MOST_MARKETS = 1_000
ROW_NUMBER = f"int(max={2**63 - 1})"  # in a path
# The pattern also appears in the API documentation, for regex dialects without \Z.
PRINTABLE = Regexp(r"^[^\x00-\x1f\x7f]*$(?!\n)", error="It has characters that nothing here has.")


class MarketsQuery(Schema):
    limit = fields.Integer(load_default=100, validate=Range(min=1, max=MOST_MARKETS))
    after = fields.String(load_default="", validate=Length(max=TICKER_LENGTH.max))


class SubscriptionsQuery(Schema):
    ticker = fields.String(load_default=None, validate=TICKER_LENGTH)


class MarketPath(Schema):
    ticker = fields.String(required=True, validate=TICKER_LENGTH)


class TimeRange(Schema):
    """A range of time. If both ends are given they must be in order: an empty answer would look like no rows."""

    @validates_schema
    def check_order(self, data: dict[str, Any], **_: object) -> None:
        if "from" in data and "to" in data and data["from"] >= data["to"]:
            raise ValidationError("It is not before `to`.", "from")


class NoQuery(Schema):
    pass


def checked_path(path: Mapping[str, Part]) -> Mapping[str, Part]:
    """Return the path's parts after checking that each may be a name. Raise ValidationError if not."""
    for name, value in path.items():
        try:
            TICKER_LENGTH(str(value))
            PRINTABLE(str(value))
        except ValidationError as error:
            raise ValidationError({name: error.messages}) from error
    return path
