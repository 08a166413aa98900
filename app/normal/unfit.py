from typing import TypeVar

from msgspec import Raw
from msgspec.json import Decoder

Shape = TypeVar("Shape")


class UnfitMessageError(ValueError):
    """It says what no row can hold exactly: nothing is rounded or guessed, what was said goes to quarantine."""


def fitting(decoder: Decoder[Shape], content: bytes | Raw) -> Shape:
    try:
        return decoder.decode(content)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise UnfitMessageError(str(error)) from error
