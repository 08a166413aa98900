"""What columns and parameters are made of."""

from datetime import UTC, datetime
from typing import Any

from marshmallow import ValidationError, fields
from marshmallow.validate import Length, OneOf

from admin.listing import Column
from admin.queries import PRINTABLE

FIRST_YEAR, LAST_YEAR = 2000, 2200

Field = fields.Field[Any]


def text(**options: Any) -> Field:  # noqa: ANN401 - as marshmallow has it
    return fields.String(allow_none=True, **options)


def asked_text(longest: int = 200) -> Field:
    return fields.String(validate=[Length(1, longest), PRINTABLE])


def asked_choice(*choices: str) -> Field:
    return fields.String(validate=OneOf(choices))


class Moment(fields.AwareDateTime):
    """A time with its zone, or in UTC."""

    def _deserialize(self, *arguments: Any, **named: Any) -> datetime:  # noqa: ANN401 - as marshmallow calls it
        moment: datetime = super()._deserialize(*arguments, **named)
        if not FIRST_YEAR <= moment.year < LAST_YEAR:
            raise ValidationError("It is a time that cannot be meant.")
        return moment


def asked_time() -> Field:
    return Moment(format="iso", default_timezone=UTC)


def shown(name: str, expression: str | None = None) -> Column:
    return Column(name, expression or name, text())


def shown_time(name: str, expression: str | None = None) -> Column:
    return Column(name, expression or name, fields.DateTime(allow_none=True))


def shown_number(name: str, expression: str | None = None) -> Column:
    return Column(name, expression or name, fields.Integer(allow_none=True))


def shown_flag(name: str, expression: str | None = None) -> Column:
    return Column(name, expression or name, fields.Boolean(allow_none=True))


def shown_dollars(name: str, column: str) -> Column:
    """Exact, hence as text: a JSON number is a float to most who read it."""
    return Column(name, f"readable.dollars({column})::TEXT", text(metadata={"example": "0.420000"}))


def shown_contracts(name: str, column: str) -> Column:
    return Column(name, f"readable.contracts({column})::TEXT", text(metadata={"example": "10.00"}))


def shown_object(name: str, expression: str | None = None) -> Column:
    return Column(name, expression or name, fields.Dict(allow_none=True))
