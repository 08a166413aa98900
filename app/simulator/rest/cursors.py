"""Where a page ended, in a form that tells the client nothing."""

import base64
import binascii

from app.simulator.rest.problems import bad_request


def encode_cursor(kind: str, place: int) -> str:
    return base64.urlsafe_b64encode(f"{kind}:{place}".encode()).rstrip(b"=").decode()


def decode_cursor(kind: str, cursor: str) -> int | None:
    """None: the first page is wanted. A cursor of another list, or none at all, is refused."""
    if not cursor:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise bad_request("invalid cursor") from None
    found, _, place = text.partition(":")
    if found != kind or not (place.isascii() and place.isdecimal()) or len(place) > 18:
        raise bad_request("invalid cursor")
    return int(place)
