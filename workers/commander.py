from app import logs
from app.clock import steady_seconds, steady_us
from app.kalshi.socket import Socket
from app.kalshi.socket_errors import SocketError
from app.stopping import Stopping
from workers.connection import Connection

log = logs.get(__name__)

TICK_SECONDS = 1.0
HELD_UP_SECONDS = 10.0  # shorter pauses are common on a busy host, and hide no silence of the exchange for long
GOODBYE_SECONDS = 5.0


class Commander:
    """Sends what one connection's subscriber has to say, and ends a socket that is of no more use.

    A socket that takes no bytes keeps nobody waiting but this.
    """

    def __init__(self, connection: Connection, stale_seconds: float, stopping: Stopping) -> None:
        self._connection = connection
        self._stale_seconds = stale_seconds
        self._stopping = stopping
        self._ending: Socket | None = None
        self._abort_seconds = 0.0
        # Since when the socket has been read without a pause, as far as this has looked.
        self._read_since_seconds = self._looked_seconds = steady_seconds()

    def run(self) -> None:
        news = self._connection.news
        while not self._connection.is_over:
            news.wait(TICK_SECONDS)
            news.clear()
            self.step()

    def step(self) -> None:
        self._note_pauses()
        socket = self._connection.socket
        if socket is None:
            pass
        elif socket is self._ending:
            if steady_seconds() >= self._abort_seconds:
                socket.abort()
        elif reason := self._why_to_end(socket):
            self._end(socket, reason)
        else:
            self._send(socket)
        self._connection.write_journal()

    def _send(self, socket: Socket) -> None:
        try:
            for command in self._connection.subscriber.commands(steady_us()):
                socket.send(command)
        except SocketError as error:
            self._end(socket, str(error))

    def _why_to_end(self, socket: Socket) -> str | None:
        if self._stopping.is_set():
            return "we are stopping"
        latest_seconds = max(socket.last_message_seconds, socket.last_ping_seconds, self._read_since_seconds)
        quiet_seconds = steady_seconds() - latest_seconds
        if quiet_seconds >= self._stale_seconds:
            return f"neither a message nor a ping for {quiet_seconds:.0f} s"
        return self._connection.subscriber.must_reconnect

    def _note_pauses(self) -> None:
        """While rows or frames are handed over, or the process is stopped, nobody reads: no silence of the exchange."""
        now_seconds = steady_seconds()
        was_held_up = now_seconds - self._looked_seconds > HELD_UP_SECONDS
        if self._connection.is_handing_over or was_held_up:
            self._read_since_seconds = now_seconds
        self._looked_seconds = now_seconds

    def _end(self, socket: Socket, reason: str) -> None:
        """What the exchange sends until it says goodbye too is received, unless that takes too long."""
        log.info("ending a socket", conn=self._connection.number, reason=reason)
        socket.ask_to_close()
        self._ending, self._abort_seconds = socket, steady_seconds() + GOODBYE_SECONDS
