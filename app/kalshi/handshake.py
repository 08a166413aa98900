"""Open the connection of a WebSocket: TCP, TLS, and the HTTP upgrade.

In: an address and signed headers. Out: a socket on which frames follow, or a ConnectError or SocketTimeoutError.
"""

import socket
import ssl
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

import websocket

from app.kalshi.errors import ConnectError, HandshakeRefusedError, SocketTimeoutError

PORTS = {"ws": 80, "wss": 443}
SHOWN_CHARACTERS = 300
MAX_ANSWER_BYTES = 1 << 16
# The server gives a sign of life every 10 s. Without keepalive, only our own timeouts would notice a dead peer.
KEEPALIVE = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}


def open_websocket(
    url: str, headers: Mapping[str, str], timeout_seconds: float, ssl_context: ssl.SSLContext | None
) -> socket.socket:
    """Return a connection on which WebSocket frames follow.

    The connection is opened here and only upgraded by websocket-client: that library would load the system's
    certificate authorities into the shared ssl_context with every connection, and follow redirects with our signature
    to any host.
    """
    connection = _opened(url, timeout_seconds, ssl_context)
    try:
        _upgrade(_DeadlineConnection(connection, timeout_seconds), url, headers)
        connection.settimeout(timeout_seconds)
    except BaseException:
        connection.close()
        raise
    return connection


def _opened(url: str, timeout_seconds: float, ssl_context: ssl.SSLContext | None) -> socket.socket:
    scheme, host, port = _address(url)
    try:
        connection = socket.create_connection((host, port), timeout_seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE.items():
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
        if scheme == "ws":
            return connection
        try:
            return (ssl_context or ssl.create_default_context()).wrap_socket(connection, server_hostname=host)
        except BaseException:
            connection.close()
            raise
    except TimeoutError as error:
        raise SocketTimeoutError(f"connecting to {host}:{port} timed out") from error
    except OSError as error:
        raise ConnectError(f"connecting to {host}:{port} failed: {error}") from error


def _address(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS[parts.scheme]
    except (ValueError, KeyError) as error:
        raise ConnectError(f"{url} is not a WebSocket URL: {error}") from error
    if not parts.hostname:
        raise ConnectError(f"{url} is not a WebSocket URL: it names no host")
    return parts.scheme, parts.hostname, port


class _DeadlineConnection:
    """The connection during its upgrade, with one deadline and a limit of bytes for the whole answer.

    Timeouts of single reads are not enough: a server that sends a byte at a time, or never ends its answer, would block
    us indefinitely.
    """

    def __init__(self, connection: socket.socket, timeout_seconds: float) -> None:
        self.close = connection.close
        self.gettimeout = connection.gettimeout
        self._connection = connection
        self._deadline_seconds = time.monotonic() + timeout_seconds
        self._room_bytes = MAX_ANSWER_BYTES

    def recv(self, size: int) -> bytes:
        # Never 0, which would make the socket non-blocking.
        self._connection.settimeout(max(self._deadline_seconds - time.monotonic(), 0.001))
        received = self._connection.recv(size)
        self._room_bytes -= len(received)
        if self._room_bytes < 0:
            raise ConnectError(f"the server answered the handshake with more than {MAX_ANSWER_BYTES} bytes")
        return received

    def send(self, request: bytes) -> int:
        self._connection.sendall(request)
        return len(request)


def _upgrade(connection: _DeadlineConnection, url: str, headers: Mapping[str, str]) -> None:
    try:
        upgrade = websocket.create_connection(
            url, socket=connection, header=dict(headers), suppress_origin=True, redirect_limit=0
        )
    except websocket.WebSocketBadStatusException as error:
        body = (error.resp_body or b"").decode(errors="replace")
        raise HandshakeRefusedError(error.status_code, body[:SHOWN_CHARACTERS]) from error
    except (websocket.WebSocketTimeoutException, TimeoutError) as error:
        raise SocketTimeoutError("the handshake timed out") from error
    except (websocket.WebSocketException, OSError) as error:
        raise ConnectError(f"the handshake failed: {str(error)[:SHOWN_CHARACTERS]}") from error
    # Either would change what frames mean, and frames.py implements neither.
    for name in ("sec-websocket-extensions", "sec-websocket-protocol"):
        if name in (upgrade.headers or {}):
            raise ConnectError(f"the server chose {name} that was not requested")
