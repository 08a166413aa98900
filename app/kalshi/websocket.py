"""A WebSocket client for one reader and several senders.

The reader must never wait for a sender: a server that blocks on sending to us may accept nothing before we read. That
rule explains the handling of pongs in `FrameSender`. The library websocket-client is used for the handshake alone.
"""

import select
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple, Self

from gevent import monkey

from app.kalshi.errors import ClosedError, ConnectionLostError, SocketError, SocketTimeoutError
from app.kalshi.frames import (
    CLOSE,
    MAX_MESSAGE_BYTES,
    NORMAL_CLOSURE,
    PONG,
    TEXT,
    CloseFrame,
    FrameReader,
    client_frame,
)
from app.kalshi.handshake import open_websocket
from app.runtime import logs
from app.runtime.clock import now_us, steady_seconds

# The original `select.poll`, even after gevent's monkey-patching: with timeout 0 it never blocks the hub.
_Poll = monkey.get_original("select", "poll")


class FrameSender:
    """Send one frame at a time, from any greenlet or thread.

    The reader sends the pongs, and must never wait for sending: a server that blocks on sending to us may accept
    nothing before we read. So a pong that cannot be sent immediately is left to the current sender, which may wait, or
    to the next flush.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._pong: bytes | None = None
        self._ending: SocketError | None = None
        self._poll = _Poll()
        self._poll.register(connection, select.POLLOUT)

    def send(self, text: bytes) -> None:
        frame = client_frame(TEXT, text)
        with self._lock:
            self._send(frame)
            self._send_pong()
        # Check again after releasing the lock: a flush that failed to acquire it in the meantime relies on this.
        while self._pong is not None and self._ending is None:
            with self._lock:
                self._send_pong()

    def pong(self, payload: bytes) -> None:
        """Queue a pong. It replaces one that has not been sent yet, as the protocol allows."""
        self._pong = client_frame(PONG, payload)

    def flush(self) -> None:
        """Send the queued pong if that is possible without waiting."""
        if self._pong is None or self._ending is not None or not self._lock.acquire(blocking=False):
            return
        try:
            if self._takes_bytes():
                self._send_pong()
        finally:
            self._lock.release()

    def close(self, close: CloseFrame, patience_seconds: float) -> bool:
        """Send the Close frame, after which nothing can be sent. Return False if that was not possible in time."""
        if not self._lock.acquire(timeout=patience_seconds):
            return False
        try:
            if self._ending is not None or not self._takes_bytes():
                return False
            self._send(client_frame(CLOSE, close.payload()))
            self._ending = ClosedError(*close)
            return True
        finally:
            self._lock.release()

    def _takes_bytes(self) -> bool:
        """Return whether the socket has room for at least a control frame."""
        return bool(self._poll.poll(0))

    def _send_pong(self) -> None:
        pong, self._pong = self._pong, None
        if pong is not None:
            self._send(pong)

    def _send(self, frame: bytes) -> None:
        if self._ending is not None:
            raise self._ending
        try:
            self._connection.sendall(frame)
        except BaseException as error:
            # Part of the frame may have been sent, also if a greenlet is killed here: the server would misread anything
            # that followed.
            self._ending = _failure_of(error)
            if isinstance(error, OSError):
                raise self._ending from error
            raise


def _failure_of(error: BaseException) -> SocketError:
    if isinstance(error, TimeoutError):
        return SocketTimeoutError("sending timed out")
    return ConnectionLostError(f"the connection was lost while sending: {error!r}")


log = logs.get(__name__)

READ_BYTES = 1 << 16
BATCH_MESSAGES = 50
GOODBYE_SECONDS = 1.0


class FrameBatch(NamedTuple):
    messages: list[bytes]
    received_us: int  # our clock right after the read that completed them


class WebSocket:
    """An open WebSocket over a connection that is upgraded already.

    One greenlet receives at a time; any may send or close. The same holds for real threads, but over TLS only one at a
    time: not every Python guards OpenSSL against two.
    """

    def __init__(self, connection: socket.socket, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        now_seconds = steady_seconds()
        self.last_ping_seconds = now_seconds  # by the steady clock; the start counts as one
        self.last_message_seconds = now_seconds
        self._last_sign_us = now_us()
        self._connection = connection
        self._reader = FrameReader(max_message_bytes)
        self._sender = FrameSender(connection)
        self._receiving = threading.Lock()
        self._messages: list[bytes] = []
        self._received_us = 0
        self._ending: SocketError | None = None

    @property
    def waiting_since_us(self) -> int | None:
        """Return when the oldest message not yet received was read, by our clock; None if there is none."""
        return self._received_us if self._messages else None

    @property
    def last_sign_us(self) -> int:
        """Return when the latest message or ping was read, by our clock."""
        quiet_seconds = steady_seconds() - max(self.last_message_seconds, self.last_ping_seconds)
        # The wall clock may have been set back since the note, or set forward, as after a paused virtual machine, when
        # it would count the pause as covered time. The earlier of the two estimates is right in both cases.
        return min(self._last_sign_us, now_us() - int(quiet_seconds * 1_000_000))

    def receive(self, max_messages: int = BATCH_MESSAGES) -> FrameBatch:
        """Wait for a message, and return up to `max_messages` that one read completed.

        It does not always switch greenlets: let others run after each batch. Raise ClosedError if the connection was
        closed in order, and SocketTimeoutError, after which it may be called again, if nothing arrived for too long.
        """
        with self._receiving:
            while not self._messages:
                if self._ending is not None:
                    raise self._ending
                self._read()
                if not self._messages:
                    # A message of megabytes needs hundreds of reads; as long as none has to wait, no other greenlet
                    # runs.
                    time.sleep(0)
            messages, self._messages = self._messages[:max_messages], self._messages[max_messages:]
            return FrameBatch(messages, self._received_us)

    def send(self, text: bytes) -> None:
        try:
            self._sender.send(text)
        except (ConnectionLostError, SocketTimeoutError):
            # The server will end the connection; what it has sent until then can still be received.
            self._shut(socket.SHUT_WR)
            raise

    def ask_to_close(self, code: int = NORMAL_CLOSURE, reason: str = "") -> bool:
        """Send a Close frame. Return False if that is no longer possible.

        What the server still sends can be received, up to the ClosedError.
        """
        try:
            return self._sender.close(CloseFrame(code, reason), GOODBYE_SECONDS)
        except SocketError as error:
            log.debug("Close frame not sent", reason=str(error))
            return False

    def abort(self) -> None:
        """End the connection without a Close frame. What has arrived can still be received, up to the SocketError."""
        self._shut(socket.SHUT_RDWR)

    def close(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Send a Close frame, wait briefly for the answer, and close; messages not yet received are dropped."""
        if self.ask_to_close(code, reason) and self._receiving.acquire(timeout=GOODBYE_SECONDS):
            try:
                self._drain()
            finally:
                self._receiving.release()
        self._shut(socket.SHUT_RDWR)
        # shutdown() wakes a blocked receiver. Wait for it before close(), or it could read from a reused descriptor.
        is_free = self._receiving.acquire(timeout=GOODBYE_SECONDS)
        self._connection.close()
        self._ending = self._ending or ConnectionLostError("closed by us, and the server did not answer")
        if is_free:
            self._receiving.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        try:
            chunk = self._connection.recv(READ_BYTES)
        except TimeoutError as error:
            raise SocketTimeoutError("receiving timed out") from error
        except OSError as error:
            self._ending = ConnectionLostError(f"the connection was lost while receiving: {error}")
            return
        self._received_us = now_us()
        pings = self._reader.pings
        self._messages = self._reader.read(chunk)
        self._note_activity(self._reader.pings != pings)
        self._answer_pings()
        if not chunk or self._reader.is_over:
            self._end()

    def _note_activity(self, has_ping: bool) -> None:
        now_seconds = steady_seconds()
        if self._messages or has_ping:
            self._last_sign_us = self._received_us
        if self._messages:
            self.last_message_seconds = now_seconds
        if has_ping:
            self.last_ping_seconds = now_seconds
            self._sender.pong(self._reader.ping)

    def _answer_pings(self) -> None:
        try:
            self._sender.flush()
        except SocketError as error:
            # There may be more to read, the server's own Close frame above all.
            log.debug("Pong frame not sent", reason=str(error))

    def _end(self) -> None:
        """Record why the connection ended. receive() raises it after the messages that were read before."""
        reader = self._reader
        if reader.failure is not None:
            self._ending = reader.failure
            self.ask_to_close(reader.failure.close_code)
        elif reader.close is not None:
            self._ending = ClosedError(*reader.close)
            self.ask_to_close(reader.close.code)
        else:
            where = "between messages" if reader.is_between_messages else "inside a message"
            self._ending = ConnectionLostError(f"the server ended the connection {where}, without a Close frame")
        self._shut(socket.SHUT_WR)

    def _drain(self) -> None:
        self._connection.settimeout(GOODBYE_SECONDS)
        deadline_seconds = time.monotonic() + GOODBYE_SECONDS
        try:
            while self._ending is None and time.monotonic() < deadline_seconds:
                self._read()
        except SocketTimeoutError as error:
            log.debug("Close frame not answered", reason=str(error))
        self._messages = []

    def _shut(self, how: int) -> None:
        # Not SSLSocket.shutdown(): after that, recv() would return data that is still encrypted.
        try:
            socket.socket.shutdown(self._connection, how)
        except OSError as error:
            log.debug("connection already closed", reason=str(error))


def connect(
    url: str,
    headers: Mapping[str, str],
    timeout_seconds: float,
    ssl_context: ssl.SSLContext | None = None,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> WebSocket:
    """Open a WebSocket. The timeout applies to every wait: connecting, handshake, receiving, sending one message."""
    return WebSocket(open_websocket(url, headers, timeout_seconds, ssl_context), max_message_bytes)
