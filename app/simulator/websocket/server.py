"""The WebSocket server: the signed handshake, and a session for each connection that passes it."""

import base64
import hashlib
import itertools
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import gevent
from gevent.server import StreamServer

from app.errors import OperatorError
from app.runtime import logs
from app.simulator.keys import AuthenticationError, KeyRing
from app.simulator.limits import ErrorBodies, SimLedger, SimLimits
from app.simulator.runtime import Supervisor
from app.simulator.websocket.framing import Opcode
from app.simulator.websocket.hub import Hub
from app.simulator.websocket.session import SimSession
from app.simulator.websocket.subscription import Outgoing

# The upgrade from HTTP: a request in, an answer out.

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
    """The answer to a handshake that is not accepted."""

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
    """Return the answer that accepts the upgrade."""
    digest = hashlib.sha1(request.headers["sec-websocket-key"].encode() + _GUID, usedforsecurity=False).digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % base64.b64encode(digest)
    )


def refusal(status: int, body: bytes) -> bytes:
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


PATH = "/trade-api/ws/v2"
HANDSHAKE_SECONDS = 10.0
GOODBYE_SECONDS = 1.0


class WebSocketServer:
    """The listening server with its sessions, by ordinal."""

    def __init__(
        self,
        *,
        address: tuple[str, int],
        hub: Hub,
        keys: KeyRing,
        limits: SimLimits,
        ledger: SimLedger,
        errors: ErrorBodies,
        supervisor: Supervisor,
        paths: tuple[str, ...] = (PATH,),
        certificate: Path | None = None,
    ) -> None:
        self.sessions: dict[int, SimSession] = {}
        self.refused_handshakes = 0
        self.on_connect: Callable[[SimSession], None] = lambda _: None
        self.refusal: Callable[[], int | None] = lambda: None
        self._hub = hub
        self._keys = keys
        self._limits = limits
        self._ledger = ledger
        self._errors = errors
        self._supervisor = supervisor
        self._paths = paths
        self._ordinals = itertools.count(1)
        options = {} if certificate is None else {"ssl_context": _tls(certificate)}
        self._server = StreamServer(address, self._handle, spawn=supervisor.spawn, backlog=1_024, **options)

    def start(self) -> tuple[str, int]:
        self._server.start()
        self._supervisor.spawn(self._send_heartbeats)
        return self._server.server_host, self._server.server_port

    def stop(self) -> None:
        self._server.stop()
        for session in list(self.sessions.values()):
            session.close(1001, "going away")
        # A client that does not read, or was made half open, is not waited for.
        with gevent.Timeout(GOODBYE_SECONDS, exception=False):
            while self.sessions:
                gevent.sleep(0.01)

    def _handle(self, connection: socket.socket, _peer: tuple[str, int]) -> None:
        try:
            session = self._shake_hands(connection)
        except (OSError, gevent.Timeout) as error:
            logs.get(__name__).debug("no handshake", reason=str(error))
            connection.close()
        else:
            if session is not None:
                self._serve(session)

    def _shake_hands(self, connection: socket.socket) -> SimSession | None:
        """Return the new session, or None if the client was refused or left."""
        try:
            request = self._read_request(connection)
            if request is None:
                return None
            key_id = self._admit(request)
        except Refused as refused:
            self.refused_handshakes += 1
            connection.sendall(refusal(refused.status, self._errors.body(refused.code, refused.message)))
            return None
        connection.sendall(accepted(request))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._session(key_id, connection)

    def _serve(self, session: SimSession) -> None:
        self.sessions[session.ordinal] = session
        self.on_connect(session)
        writer = self._supervisor.spawn(session.write)
        try:
            session.read()
            if session.is_closing:
                writer.join(HANDSHAKE_SECONDS)
        finally:
            session.forget()
            del self.sessions[session.ordinal]
            writer.kill()

    def _session(self, key_id: str, connection: socket.socket) -> SimSession:
        return SimSession(
            ordinal=next(self._ordinals),
            key_id=key_id,
            connection=connection,
            hub=self._hub,
            limits=self._limits,
            ledger=self._ledger,
        )

    def _read_request(self, connection: socket.socket) -> Request | None:
        if self.refusal() == 0:
            # With a linger time of zero, close() resets the connection, as a machine does on whose port nothing
            # listens.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
            return None
        head = b""
        with gevent.Timeout(HANDSHAKE_SECONDS):
            while b"\r\n\r\n" not in head:
                data = connection.recv(4_096)
                if not data:
                    return None
                head += data
                if len(head) > REQUEST_LIMIT_BYTES:
                    raise Refused(400, "bad_request", "the request's head is too long")
        return parse_request(head.partition(b"\r\n\r\n")[0])

    def _admit(self, request: Request) -> str:
        if status := self.refusal():
            raise Refused(status, "service_unavailable", "the exchange is not available")
        path = request.path.partition("?")[0]
        if path not in self._paths:
            raise Refused(404, "not_found", "not found")
        require_upgrade(request)
        try:
            key_id = self._keys.authenticate(request.headers, "GET", path, time.time_ns() // 1_000_000)
        except AuthenticationError as error:
            raise Refused(401, error.code, error.message) from None
        if Counter(session.key_id for session in self.sessions.values())[key_id] >= self._limits.connections_per_user:
            raise Refused(429, "too_many_requests", "too many connections")
        return key_id

    def _send_heartbeats(self) -> None:
        while True:
            gevent.sleep(self._limits.heartbeat_seconds)
            for session in self.sessions.values():
                if len(session.outbox) < self._limits.buffer_frames:
                    session.outbox.put(Outgoing(b"heartbeat", opcode=Opcode.PING))


def _tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate)
    except OSError as error:
        raise OperatorError(
            f"{certificate} holds no certificate with its key.", str(error), "give a PEM file with both."
        ) from error
    return context
