"""Serve HTTP from within a process that has more important work, so that no client can cost it much.

In: requests, with limits on connections, sizes and time. Out: calls of a WSGI application with the whole body read.
Built on gevent's pywsgi, whose gaps (lenient parsing, unlimited waiting) are closed here.
"""

import contextlib
import io
import logging
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any, BinaryIO

import gevent
from gevent.lock import BoundedSemaphore
from gevent.pool import Pool
from gevent.pywsgi import Input, LoggingLogAdapter, WSGIHandler, WSGIServer

from app.metrics.process import HANG_UPS
from app.runtime.health import Stopping

# Strict parsing of a request's head.
#
# A proxy in front may read an ambiguous head differently and take what follows for another client's request (request
# smuggling), so ambiguous heads are refused.

MOST_HEAD_BYTES = 65_536
MOST_HEADERS = 100

NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
REQUEST_LINE = re.compile(rf"{NAME} [!-~\x80-\xff]+ HTTP/1\.[01]\r\n")
# Values hold no control characters except tabs. Continuation lines (obsolete line folding) are refused.
HEADER = re.compile(rf"({NAME}):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*\r\n")
LENGTH = re.compile(r"[0-9]{1,18}")
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~!$&'()*+,;=%-]+)(:[0-9]{1,5})?")
# A chunk's size, and extensions, which are ignored: they must not hold a line end that another server would count.
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t -~\x80-\xff]*)?\r\n")
MOST_CHUNK_LINE_BYTES = 256


def header_lines(file: BinaryIO) -> list[str]:
    """Read the lines up to the empty one. Raise ValueError if they are too long, ConnectionError if they end early."""
    lines: list[str] = []
    left_bytes = MOST_HEAD_BYTES
    while (line := file.readline(left_bytes)) != b"\r\n":
        if not line:
            raise ConnectionError("The client left before its header was complete.")
        lines.append(line.decode("latin-1"))
        left_bytes -= len(line)
        if left_bytes <= 0 or len(lines) > MOST_HEADERS:
            raise ValueError("its header is too long")
    return lines


def problem_of_request_line(line: str) -> str | None:
    """Return why the request line is refused, or None if it conforms to RFC 9112."""
    return None if REQUEST_LINE.fullmatch(line) else "its first line is not a request"


def problem_of_headers(version: str, lines: Iterable[str]) -> str | None:
    """Return why the headers are refused, or None."""
    headers: dict[str, list[str]] = {}
    for line in lines:
        if (header := HEADER.fullmatch(line)) is None:
            return "a header is malformed"
        headers.setdefault(header[1].lower(), []).append(header[2])
    is_newer = version != "HTTP/1.0"
    return _host_problem(headers, is_newer) or _length_problem(headers, is_newer)


def _host_problem(headers: dict[str, list[str]], is_required: bool) -> str | None:
    hosts = headers.get("host", [])
    if len(hosts) > 1 or (is_required and not hosts):
        return "it names no host, or several"
    return "its host is malformed" if hosts and HOST.fullmatch(hosts[0]) is None else None


def _length_problem(headers: dict[str, list[str]], knows_chunks: bool) -> str | None:
    lengths, encodings = headers.get("content-length", []), headers.get("transfer-encoding", [])
    if len(lengths) > 1 or (lengths and LENGTH.fullmatch(lengths[0]) is None):
        return "its length is not a single number"
    if encodings and (lengths or not knows_chunks or [each.lower() for each in encodings] != ["chunked"]):
        return "its body is encoded in a way that is not known, or has a length beside it"
    return None


def chunked_body(file: BinaryIO, most_bytes: int) -> bytes | None:
    """Read a body in chunks, and what trails it. Return None as soon as it is longer than `most_bytes`.

    Raise ValueError if it is ambiguous, ConnectionError if it ends early.
    """
    body = bytearray()
    while size := _chunk_size(file):
        if len(body) + size > most_bytes:
            return None
        body += exactly(file, size)
        if exactly(file, 2) != b"\r\n":
            raise ValueError("a chunk is longer than it says")
    if any(HEADER.fullmatch(line) is None for line in header_lines(file)):
        raise ValueError("what trails its body is malformed")
    return bytes(body)


def exactly(file: BinaryIO, size: int) -> bytes:
    """Read this many bytes. Raise ConnectionError if they end early."""
    found = file.read(size)
    if len(found) < size:
        raise ConnectionAbortedError("The client left before its body was complete.")
    return found


def _chunk_size(file: BinaryIO) -> int:
    if not (line := file.readline(MOST_CHUNK_LINE_BYTES)):
        raise ConnectionAbortedError("The client left before its body was complete.")
    if (chunk := CHUNK.fullmatch(line)) is None:
        raise ValueError("a chunk's first line is malformed")
    return int(chunk[1], 16)


WSGIApp = Callable[..., Iterable[bytes]]

MOST_CONNECTIONS = 64
MOST_BODY_BYTES = 64_000
PATIENCE_SECONDS = 20.0
FINISH_SECONDS = 1
READ_BYTES = 65_536
TOO_LARGE = (
    b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 59\r\n"
    b"Content-Type: application/problem+json\r\n\r\n"
    b'{"status":413,"detail":"A body has at most 64,000 bytes."}\n'
)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

requests_log = logging.getLogger("app.runtime.http_server")


class _FairReader(io.RawIOBase):
    """A client's socket. Other greenlets run before each read: bytes that never cease would keep them waiting."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - as io has it
        gevent.sleep(0)
        return self._client.recv_into(buffer)


class RequestHandler(WSGIHandler):
    """One connection, and one request after the other."""

    server: "BoundedServer"
    request_version: str
    environ: Any  # None before the first request
    wsgi_input: Input

    def handle(self) -> None:
        self.server.make_room(self.socket)
        self.rfile.close()
        self.rfile = io.BufferedReader(_FairReader(self.socket))
        try:
            super().handle()
        except OSError as error:  # the client left or was cut off during its answer
            requests_log.debug("client disconnected", exc_info=error)

    def handle_one_request(self) -> object:
        # A connection is kept for further requests only while there is room for others.
        if self.environ is not None and self.server.is_full():
            return None
        with self.server.patience(self.socket):
            result = super().handle_one_request()
            if not isinstance(result, tuple):
                return result
            # A refusal: pywsgi would send it after the block, however long the client takes.
            self.status, refusal = result
            self._sendall(refusal)
            return None

    def read_request(self, raw_requestline: str) -> bool:
        if reason := problem_of_request_line(raw_requestline):
            raise ValueError(reason)
        complete: bool = super().read_request(raw_requestline)
        self.server.has_sent_head(self.socket)
        return complete

    def MessageClass(self, file: BinaryIO, *_: object) -> Any:  # noqa: ANN401, N802 - as pywsgi calls it
        """Check the lines first, since the standard library's parser skips what it does not understand."""
        lines = header_lines(file)
        if reason := problem_of_headers(self.request_version, lines):
            raise ValueError(reason)
        return super().MessageClass(io.BytesIO("".join([*lines, "\r\n"]).encode("latin-1")))

    def run_application(self) -> None:
        """Read the whole body first, so that the application never waits for a client, and slow ones can be cut off."""
        self.wsgi_input = Input(self.rfile, 0)  # pywsgi reads nothing of the body itself
        try:
            body = self._body()
        except ValueError as error:
            self._handle_client_error(error)
            self.close_connection = True
            self._send_error_response_if_possible(HTTPStatus.BAD_REQUEST)
            return
        if body is None:
            self._refuse_body()
            return
        self.environ["wsgi.input"] = io.BytesIO(body)
        self.server.has_asked(self.socket)
        self.server.take_turn()
        super().run_application()

    def _body(self) -> bytes | None:
        """Return the body, or None if it is too large. Raise ValueError as chunked_body() does."""
        if (self.content_length or 0) > MOST_BODY_BYTES:
            return None
        if self.environ.get("HTTP_EXPECT", "").lower() == "100-continue":
            self.socket.sendall(CONTINUE)
        if "HTTP_TRANSFER_ENCODING" in self.environ:
            return chunked_body(self.rfile, MOST_BODY_BYTES)
        return exactly(self.rfile, self.content_length or 0)

    def _sendall(self, data: bytes) -> None:
        with self.server.sending(self.socket):
            super()._sendall(data)

    def _refuse_body(self) -> None:
        """Answer 413 and keep reading for a while: a client cut off while it sends may not see the answer."""
        self.close_connection = True
        self.socket.sendall(TOO_LARGE)
        self.socket.shutdown(socket.SHUT_WR)
        while self.rfile.read1(READ_BYTES):
            pass

    def _handle_client_error(self, ex: Exception) -> object:
        """Do not print a traceback for a client that leaves in the middle of its request, as pywsgi would."""
        if isinstance(ex, ConnectionError):
            requests_log.debug("client disconnected", exc_info=ex)
            return None
        return super()._handle_client_error(ex)

    def handle_error(self, t: Any, v: Any, tb: Any) -> None:  # noqa: ANN401 - as pywsgi calls it
        if isinstance(v, ConnectionError):
            self.close_connection = True
            requests_log.debug("client disconnected", exc_info=v)
            return
        requests_log.error("HTTP connection failed", exc_info=(t, v, tb))
        self._send_error_response_if_possible(500)


class BoundedServer(WSGIServer):
    """Serves a limited number of connections.

    When the limit is reached, the connection that has been without a complete request longest is closed; if all have
    one, the connection that has not taken any more of its answer for longest.
    """

    def __init__(
        self,
        address: tuple[str, int],
        app: WSGIApp,
        most_connections: int = MOST_CONNECTIONS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._connections = Pool(most_connections)
        super().__init__(
            address,
            app,
            spawn=self._connections,
            handler_class=RequestHandler,
            log=LoggingLogAdapter(requests_log, logging.DEBUG),
            error_log=LoggingLogAdapter(requests_log, logging.WARNING),
        )
        self._patience_seconds = patience_seconds
        self._not_asked: dict[socket.socket, None] = {}  # connections without a complete request, the oldest first
        self._sending: dict[socket.socket, None] = {}  # clients that have to take what is sent, the slowest first
        self._leaving: set[socket.socket] = set()  # those whose places are about to be free
        self._timers: dict[socket.socket, Any] = {}
        self._turn = BoundedSemaphore()

    @property
    def url(self) -> str:
        return f"http://{self.server_host}:{self.server_port}"

    def take_port(self) -> None:
        """Bind the port. Clients can connect from now on, though nothing answers yet."""
        self.init_socket()
        # Heads and bodies are sent separately: with Nagle's algorithm a body would wait for the head's acknowledgement.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def serve_until(self, stopping: Stopping) -> None:
        self.start()
        stopping.wait()
        self.stop(FINISH_SECONDS)

    def is_full(self) -> bool:
        return bool(self._connections.full())

    def make_room(self, client: socket.socket) -> None:
        """If the server is full, close another connection than this one that costs a place and is not being answered.

        Called whenever one could have become such a connection: while the server is full, nobody new arrives.
        """
        if not self.is_full() or self._leaving:
            return
        dispensable = (each for each in (*self._not_asked, *self._sending) if each is not client)
        if (oldest := next(dispensable, None)) is not None:
            self._leaving.add(oldest)
            self._hang_up(oldest, "crowded")

    @contextlib.contextmanager
    def patience(self, client: socket.socket) -> Iterator[None]:
        """Limit the time for one request and its answer."""
        self._not_asked[client] = None
        self._timers[client] = timer = gevent.get_hub().loop.timer(self._patience_seconds)
        timer.start(self._hang_up, client, "slow")
        try:
            yield
        finally:
            timer.close()
            del self._timers[client]
            self._not_asked.pop(client, None)
            self._leaving.discard(client)

    @contextlib.contextmanager
    def sending(self, client: socket.socket) -> Iterator[None]:
        """Note that nothing but the client delays its answer."""
        self.make_room(client)
        self._sending[client] = None
        try:
            yield
        finally:
            self._sending.pop(client, None)

    def has_sent_head(self, client: socket.socket) -> None:
        """Restart the limit for the request's body."""
        self._timers[client].stop()
        self._timers[client].start(self._hang_up, client, "slow")

    def has_asked(self, client: socket.socket) -> None:
        """Note that the request is complete, and restart the limit for its answer."""
        self._not_asked.pop(client, None)
        self._timers[client].stop()
        self._timers[client].start(self._hang_up, client, "slow")

    def take_turn(self) -> None:
        """Return when the rest of the process has had its turn since the last request, however many requests wait."""
        gevent.sleep(0)  # whoever waits takes the semaphore before the one who has just had it
        with self._turn:
            gevent.sleep(0)

    def _hang_up(self, client: socket.socket, cause: str) -> None:
        """Close the connection, so that reading from it and writing to it end immediately."""
        HANG_UPS.labels(cause).inc()
        self._not_asked.pop(client, None)
        self._sending.pop(client, None)
        with contextlib.suppress(OSError):  # the client has already closed it
            client.shutdown(socket.SHUT_RDWR)
