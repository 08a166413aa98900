"""The errors of REST calls and WebSockets, and the reason that the exchange gives in the body of an error."""

from typing import NamedTuple

import msgspec

from app.errors import OperatorError


class RestError(OperatorError):
    """A REST call that did not return what it asked for."""


class UnavailableError(RestError):
    """No answer, or one that asks to retry later. The transport retries until the caller's patience ends."""

    def __init__(self, what: str, detail: str = "", resume_seconds: float = 0) -> None:
        super().__init__(what, detail)
        self.resume_seconds = resume_seconds


class RequestRefusedError(RestError):
    """The exchange refuses the request: a retry would not help."""


class NotFoundError(RequestRefusedError):
    pass


class AccessDeniedError(RestError):
    """The exchange refuses the key. Callers stop and raise an alarm: only the operator can correct this."""


class UnexpectedAnswerError(RestError):
    """An answer in a shape that the exchange's contract does not have."""


class ErrorReason(NamedTuple):
    """Why the exchange refused, in its own words."""

    code: str
    message: str

    def __str__(self) -> str:
        return ": ".join(filter(None, self))


def reason_of(body: bytes) -> ErrorReason:
    """Return the reason in the body of an error answer.

    The exchange answers {"error": {"code", "message"}}, documents {"code", "message"}, and also sends {"error": "..."}.
    From any other body (a proxy's page, for example) the beginning is returned as the message.
    """
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


# What can go wrong with a WebSocket. After any error but SocketTimeoutError the WebSocket is unusable.

PROTOCOL_ERROR = 1002
INVALID_DATA = 1007
MESSAGE_TOO_BIG = 1009


class SocketError(Exception):
    pass


class ConnectError(SocketError):
    """The connection could not be opened."""


class HandshakeRefusedError(ConnectError):
    """The server answered the upgrade with an HTTP status of its own."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"the handshake was answered with {status}: {body}")
        self.status = status


class SocketTimeoutError(SocketError):
    """A wait took too long.

    After a wait for something to receive, receive() may be called again; after one for sending, the connection is
    unusable.
    """


class ConnectionLostError(SocketError):
    """The connection ended without a Close frame."""


class ClosedError(SocketError):
    """The connection was closed by a Close frame, from either side."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code}" + (f": {reason}" if reason else ""))
        self.code = code
        self.reason = reason


class ProtocolError(SocketError):
    """The server sent what the protocol forbids, or more than we accept."""

    def __init__(self, what: str, close_code: int = PROTOCOL_ERROR) -> None:
        super().__init__(what)
        self.close_code = close_code
