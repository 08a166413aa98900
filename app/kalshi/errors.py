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


class ErrorReason(NamedTuple):
    """Why the exchange refused, in its own words."""

    code: str
    message: str

    def __str__(self) -> str:
        return ": ".join(filter(None, self))


def reason_of(body: bytes) -> ErrorReason:
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
        return ErrorReason(str(told.get("code") or ""), message)
    if isinstance(told, str):
        return ErrorReason("", told)
    return ErrorReason("", body[:200].decode(errors="replace").strip())


# What can go wrong with a WebSocket. After any of these but SocketTimeoutError it is of no more use.

PROTOCOL_ERROR = 1002
INVALID_DATA = 1007
MESSAGE_TOO_BIG = 1009


class SocketError(Exception):
    pass


class ConnectError(SocketError):
    """No connection came about."""


class HandshakeRefusedError(ConnectError):
    """The server answered the upgrade with an HTTP status of its own."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"the handshake was answered with {status}: {body}")
        self.status = status


class SocketTimeoutError(SocketError):
    """Nothing could be received for too long, and may be later; or nothing be sent, and the connection is given up."""


class ConnectionLostError(SocketError):
    """The connection ended without the goodbye that the protocol has for it."""


class ClosedError(SocketError):
    """The connection was closed as the protocol has it, by either side."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code}" + (f": {reason}" if reason else ""))
        self.code = code
        self.reason = reason


class ProtocolError(SocketError):
    """The server sent what the protocol forbids, or more than we take."""

    def __init__(self, what: str, close_code: int = PROTOCOL_ERROR) -> None:
        super().__init__(what)
        self.close_code = close_code
