"""Where a page of a long list ends, so that the next one begins there: the last row's key, in one word."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from marshmallow import ValidationError

BETWEEN = "~"
BIGGEST = 2**63
ZONES_END = timedelta(hours=16)  # PostgreSQL takes none from there on


class Key(NamedTuple):
    """A column of the rows, by which they are in order together with the others."""

    column: str
    read: Callable[[str], Any]


def written(keys: Sequence[Key], row: Mapping[str, Any]) -> str:
    # A plus sign in an address is a space.
    return BETWEEN.join(str(row[key.column]).replace("+00:00", "Z") for key in keys)


def read(keys: Sequence[Key], word: str) -> list[Any]:
    """The last key may hold what stands between them."""
    try:
        return [key.read(text) for key, text in zip(keys, word.split(BETWEEN, len(keys) - 1), strict=True)]
    except (ValueError, OverflowError):
        raise ValidationError({"after": ["It is not the `next` of a page of this list."]}) from None


def number(text: str) -> int:
    if not -BIGGEST <= (value := int(text)) < BIGGEST:
        raise ValueError("It is not in the range of a number.")
    return value


def moment(text: str) -> datetime:
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        raise ValueError("It has no zone.")
    return in_utc(value)


def in_utc(moment: datetime) -> datetime:
    """Raises ValueError where its zone is none that there is: Python knows farther ones than PostgreSQL."""
    if abs(moment.utcoffset() or timedelta()) >= ZONES_END:
        raise ValueError("It is in a zone that cannot be meant.")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("It is a time that cannot be meant.") from None


def truth(text: str) -> bool:
    if text not in {"True", "False"}:
        raise ValueError("It is neither True nor False.")
    return text == "True"


def word(text: str) -> str:
    if not text.isprintable():
        raise ValueError("It is not printable.")
    return text
