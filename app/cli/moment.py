from datetime import UTC, datetime, timedelta
from typing import TypeVar

import click

Time = TypeVar("Time", int, datetime)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def refuse_reversed(start: Time, end: Time) -> None:
    """Raise unless --to is after --from."""
    if start >= end:
        raise click.BadParameter("it is not after --from", param_hint="--to")


class MomentType(click.ParamType[int]):
    """A time in ISO 8601, as microseconds since 1970. Without a zone it is UTC."""

    name = "time"

    def convert(self, value: object, parameter: click.Parameter | None, context: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time such as 2026-11-21T15:00:00Z.", parameter, context)
        return (moment.replace(tzinfo=moment.tzinfo or UTC) - EPOCH) // timedelta(microseconds=1)
