"""What a REST call can end with, and what the exchange says in the body of an error."""

from typing import NamedTuple

import msgspec

from app.errors import OperatorError


class RestError(OperatorError):
    """A call that did not end in what was asked for."""


class UnavailableError(RestError):
    """No answer, or one that says: later. It is asked again until the caller's patience ends."""

    def __init__(self, what: str, detail: str = "", resume_seconds: float = 0) -> None:
        super().__init__(what, detail)
        self.resume_seconds = resume_seconds


class RequestRefusedError(RestError):
    """The exchange does not take the request: asking again would not help."""


class NotFoundError(RequestRefusedError):
    pass


class AccessDeniedError(RestError):
    """The key is not taken. Who meets this stops and alarms: only the operator can mend it."""


class UnexpectedAnswerError(RestError):
    """An answer in a shape that the exchange's contract does not have."""


class Reason(NamedTuple):
    """Why the exchange refused, in its own words."""

    code: str
    message: str

    def __str__(self) -> str:
        return ": ".join(filter(None, self))


def reason_of(body: bytes) -> Reason:
    """From {"error": {"code", "message"}} as the exchange answers, {"code", "message"} as it documents, or
    {"error": "..."}; from anything else, such as a proxy's page, its beginning."""
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = None
    if isinstance(told, dict):
        told = told.get("error", told)
    if isinstance(told, dict):
        message = " ".join(str(told[part]) for part in ("message", "details") if told.get(part))
        return Reason(str(told.get("code") or ""), message)
    if isinstance(told, str):
        return Reason("", told)
    return Reason("", body[:200].decode(errors="replace").strip())
