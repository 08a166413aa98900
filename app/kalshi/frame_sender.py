import select
import socket
import threading

from gevent import monkey

from app.kalshi.frames import CLOSE, PONG, TEXT, Close, client_frame
from app.kalshi.socket_errors import ClosedError, ConnectionLostError, SocketError, SocketTimeoutError

# Of the system, also where gevent has put its own in this place: asked without waiting, it holds nobody up.
_Poll = monkey.get_original("select", "poll")


class FrameSender:
    """Sends one frame at a time, from whichever greenlet or thread.

    Pongs are sent by whoever reads, and reading must never wait for sending: a server that is stuck with sending to us
    may take nothing before we read. So a pong that cannot go out at once is left to whoever sends just now, and may
    wait, or to the next flush.
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
        # Looked at again after the lock is given up: whoever has not got it in the meantime counts on this.
        while self._pong is not None and self._ending is None:
            with self._lock:
                self._send_pong()

    def pong(self, payload: bytes) -> None:
        """Takes the place of a pong that has not gone out yet, as the protocol allows."""
        self._pong = client_frame(PONG, payload)

    def flush(self) -> None:
        """Sends the pong that is due if that is possible without waiting."""
        if self._pong is None or self._ending is not None or not self._lock.acquire(blocking=False):
            return
        try:
            if self._takes_bytes():
                self._send_pong()
        finally:
            self._lock.release()

    def close(self, close: Close, patience_seconds: float) -> bool:
        """Sends the Close frame, after which nothing can be sent. False if that was not possible in time."""
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
        """Whether there is room for at least a control frame."""
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
            # A part of the frame may be out, also when a greenlet is killed here: the server would misunderstand
            # whatever came next.
            self._ending = _failure_of(error)
            if isinstance(error, OSError):
                raise self._ending from error
            raise


def _failure_of(error: BaseException) -> SocketError:
    if isinstance(error, TimeoutError):
        return SocketTimeoutError("the server took nothing for too long")
    return ConnectionLostError(f"the connection was lost while sending: {error!r}")
