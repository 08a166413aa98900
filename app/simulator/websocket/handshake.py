"""The upgrade from HTTP: a request in, an answer out."""

import base64
import hashlib
from collections.abc import Mapping
from typing import NamedTuple

REQUEST_LIMIT_BYTES = 16_384
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    426: "Upgrade Required",
    429: "Too Many Requests",
    503: "Service Unavailable",
}


class Refused(Exception):  # noqa: N818 - an answer, not a fault of the program
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Request(NamedTuple):
    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case


def parse_request(head: bytes) -> Request:
    first, *rest = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3:
        raise Refused(400, "bad_request", "not an HTTP request")
    lines = (line.partition(":") for line in rest if line)
    return Request(words[0], words[1], {name.strip().lower(): value.strip() for name, _, value in lines})


def require_upgrade(request: Request) -> None:
    upgrade = request.headers.get("upgrade", "").lower() == "websocket"
    connection = "upgrade" in request.headers.get("connection", "").lower()
    version = request.headers.get("sec-websocket-version") == "13"
    if request.method != "GET" or not (upgrade and connection and version):
        raise Refused(426, "upgrade_required", "this is a WebSocket endpoint")
    if not _is_key(request.headers.get("sec-websocket-key", "")):
        raise Refused(400, "bad_request", "Sec-WebSocket-Key is not sixteen bytes")


def accepted(request: Request) -> bytes:
    digest = hashlib.sha1(request.headers["sec-websocket-key"].encode() + _GUID, usedforsecurity=False).digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % base64.b64encode(digest)
    )


def refused(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (
        status,
        _REASONS[status].encode(),
        len(body),
        body,
    )


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 16
    except ValueError:
        return False
