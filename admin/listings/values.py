"""What columns and parameters are made of."""

from datetime import UTC, datetime
from typing import Any

from marshmallow import ValidationError, fields
from marshmallow.validate import Length, OneOf

from admin.keyset import in_utc
from admin.listing import Column, Filter
from admin.queries import PRINTABLE

FIRST_YEAR, LAST_YEAR = 2000, 2200
NO_TIME = "It is not a time such as 2026-11-21T15:00:00Z."

Field = fields.Field[Any]


def text(**options: Any) -> Field:  # noqa: ANN401 - as marshmallow has it
    return fields.String(allow_none=True, **options)


def asked_text(longest: int = 200) -> Field:
    return fields.String(validate=[Length(1, longest), PRINTABLE])


def asked_choice(*choices: str) -> Field:
    return fields.String(validate=OneOf(choices))


class Moment(fields.AwareDateTime):
    """A time with its zone, or in UTC. It is UTC from here on."""

    def _deserialize(self, *arguments: Any, **named: Any) -> datetime:  # noqa: ANN401 - as marshmallow calls it
        asked: datetime = super()._deserialize(*arguments, **named)
        try:
            moment = in_utc(asked)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        if not FIRST_YEAR <= moment.year < LAST_YEAR:
            raise ValidationError("It is a time that cannot be meant.")
        return moment


def asked_time() -> Field:
    return Moment(format="iso", default_timezone=UTC, error_messages={"invalid": NO_TIME, "format": NO_TIME})


def equal(*names: str, **columns: str) -> dict[str, Filter]:
    """Parameters that are the text of the column of their name, or of another one."""
    named = {**{name: name for name in names}, **columns}
    return {name: Filter(f"{column} = %({name})s", asked_text()) for name, column in named.items()}


def one_of(name: str, *choices: str) -> dict[str, Filter]:
    return {name: Filter(f"{name} = %({name})s", asked_choice(*choices))}


def whether(**conditions: str) -> dict[str, Filter]:
    return {name: Filter(f"({condition}) = %({name})s", fields.Boolean()) for name, condition in conditions.items()}


def between(time_column: str) -> dict[str, Filter]:
    return {
        "from": Filter(f"{time_column} >= %(from)s", asked_time()),
        "to": Filter(f"{time_column} < %(to)s", asked_time()),
    }


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
