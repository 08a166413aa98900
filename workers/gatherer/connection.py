"""One connection to the exchange: `Connection` receives; `CommandSender` sends commands and ends a dead socket.

In: the batches of one socket after another. Out: rows to the sink, lifecycle frames to the registry, and a journal of
gaps.
Receiving and sending are separate greenlets, since a socket that takes no bytes must not stop the reading.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import gevent
import gevent.lock

from app.kalshi.errors import HandshakeRefusedError, SocketError, SocketTimeoutError
from app.kalshi.websocket import WebSocket
from app.metrics import gatherer as metrics
from app.ops.live import LiveConnection, LiveSubscription, moment
from app.runtime import logs
from app.runtime.backoff import Backoff
from app.runtime.clock import now_us, steady_seconds, steady_us
from app.runtime.events import Event
from app.runtime.health import Stopping
from app.storage.tables import TICKERS, Row
from app.storage.write_queue import Sink
from app.subscriptions.interface import State, Subscriber
from app.subscriptions.journal import Journal
from app.subscriptions.roles import role_of
from app.subscriptions.router import MessageRouter, RouterContext
from workers.gatherer.admission import DENIED, Admission

log = logs.get(__name__)

BATCH_MESSAGES = 50
FIRST_REST_SECONDS, LONGEST_REST_SECONDS = 1.0, 300.0
HEALTHY_SECONDS = 60.0
SERVED_SECONDS = 10.0


def rest_seconds(backoff: Backoff, lived_seconds: float) -> float:
    """Return how long to wait after the end of a socket that lived this long. One that served is not missed for longer
    than it served: an exchange or a proxy that ends every socket within a minute would be missed most of the time.
    """
    if lived_seconds >= HEALTHY_SECONDS:
        backoff.succeeded()
    wait_seconds = backoff.failed()
    return min(wait_seconds, lived_seconds) if lived_seconds >= SERVED_SECONDS else wait_seconds


class ConnectionContext(NamedTuple):
    """The collaborators that all connections share."""

    dial: Callable[[], WebSocket]
    admission: Admission
    sink: Sink
    on_lifecycle: Callable[[bytes], None]  # may block
    on_tickers: Callable[[list[Row]], None]  # called before the sink has them; must not block
    set_halted: Callable[[bool], None]  # whether the exchange refuses our key
    stopping: Stopping


class Connection:
    """Receive what the exchange sends to one subscriber, over a sequence of sockets, until stopped."""

    def __init__(
        self,
        subscriber: Subscriber,
        journal: Journal,
        context: ConnectionContext,
        router_context: RouterContext | None = None,
    ) -> None:
        self.number = journal.conn
        self.role = role_of(self.number)
        self.subscriber = subscriber
        self.socket: WebSocket | None = None
        self.commands_due = Event()  # there may be commands to send
        self.is_over = False
        self.down_since_seconds: float | None = time.monotonic()
        self._router_context = router_context or RouterContext()
        self._journal = journal
        self._journaling = gevent.lock.BoundedSemaphore()
        self._context = context
        self._backoff = Backoff(FIRST_REST_SECONDS, LONGEST_REST_SECONDS, jitter=1.0)  # reset by a socket that lasts
        self._opened_seconds = 0.0
        self._state: State = "waiting"
        self._state_since_us = now_us()
        self._in_hand_us: int | None = None
        self._waits_for_registry = False
        self._router: MessageRouter | None = None
        self._messages = 0
        self._opened = 0
        metrics.CONNECTIONS.labels(self.role.name, self._state).inc()

    def run(self) -> None:
        try:
            # A loop of its own: it waits for its turn to dial, for frames, and for the exchange to be back.
            while not self._context.stopping.is_set():
                socket = self._open()
                if socket is not None:
                    self._receive_until_closed(socket)
                    self._pause_before_reconnect()
        finally:
            self.is_over = True

    def in_hand_since_us(self) -> int | None:
        """Return the time before which everything sent to this socket is in the sink.

        None if no socket is open and nothing is being handed over: then the journal's gaps describe what is missing.
        """
        socket = self.socket
        if socket is None:
            return self._in_hand_us
        # The latest message proves what was sent before it and nothing after: the line may be cut, or the exchange
        # hang. A ping counts here too, or one quiet socket would hold back the whole process's time. If the exchange
        # stalled while it went on pinging, the gap opened at this socket's end covers that time.
        moments_us = (self._in_hand_us, socket.waiting_since_us, socket.last_sign_us)
        return min(moment_us for moment_us in moments_us if moment_us is not None) - self._journal.lag_us

    @property
    def is_handing_over(self) -> bool:
        """Return True while it waits for the sink or for the registry, and therefore reads nothing."""
        return self._in_hand_us is not None or self._waits_for_registry

    def write_journal(self) -> None:
        """Put the journal's rows into the sink."""
        # Serialised: the row that closes a gap must not overtake the one that opens it.
        with self._journaling:
            for table, rows in self._journal.take():
                self._context.sink.put(table, rows)

    def status(self) -> LiveConnection:
        age_us = None if self._router is None else self._router.age_us
        return LiveConnection(
            conn=self.number,
            role=self.role.name,
            state=self._state,
            since=moment(self._state_since_us),
            wanted=self.subscriber.wanted,
            received=self.subscriber.received,
            messages=self._messages,
            age_seconds=None if age_us is None else age_us // 1_000 / 1_000,
            reconnects=max(self._opened - 1, 0),
            in_doubt=self.subscriber.in_doubt,
        )

    def subscriptions(self) -> list[LiveSubscription]:
        channels, subscriber = self.role.channels, self.subscriber
        sids: Sequence[int | None] = (
            subscriber.sids if len(subscriber.sids) == len(channels) else [None] * len(channels)
        )
        is_of_books = self.role.is_of_books
        return [
            LiveSubscription(
                conn=self.number,
                channel=channel,
                sid=sid,
                markets_wanted=subscriber.wanted if is_of_books else 0,
                markets_heard=subscriber.received if is_of_books else 0,
            )
            for channel, sid in zip(channels, sids, strict=True)
        ]

    def _open(self) -> WebSocket | None:
        """Wait for a turn and dial. Return None if stopping or if the dial failed."""
        self._set_state("waiting")
        turn = self._context.admission.wait(is_of_books=self.role.is_of_books)
        if turn is None:
            return None
        self._set_state("connecting")
        try:
            socket = self._context.dial()
        except SocketError as error:
            self._context.admission.failed(turn, error)
            self._dial_failed(error)
            return None
        self._context.admission.opened(turn)
        self._context.set_halted(False)
        self._opened += 1
        if self._opened > 1:
            metrics.RECONNECTS.labels(self.role.name).inc()
        return socket

    def _pause_before_reconnect(self) -> None:
        """Pause before reconnecting: a socket that ended soon after it opened is not reopened immediately."""
        if self._context.admission.pause(rest_seconds(self._backoff, time.monotonic() - self._opened_seconds)):
            self._backoff.succeeded()

    def _dial_failed(self, error: SocketError) -> None:
        metrics.CONNECT_FAILURES.labels(self.role.name).inc()
        if isinstance(error, HandshakeRefusedError) and error.status in DENIED:
            log.error("API key refused by the exchange", conn=self.number, status=error.status)
            self._context.set_halted(True)
        else:
            log.warning("connect failed", conn=self.number, reason=str(error))

    def _receive_until_closed(self, socket: WebSocket) -> None:
        # A router per socket: sids and sequence numbers begin again on each.
        router = self._router = MessageRouter(self.number, self.role, self.subscriber, self._router_context)
        self._opened_seconds = time.monotonic()
        self.subscriber.opened(router.stream, steady_us())
        self.socket, self.down_since_seconds = socket, None
        self._set_state("open")
        self.commands_due.set()
        try:
            while True:
                self._step(socket, router)
        except SocketError as error:
            log.info("connection closed", conn=self.number, reason=str(error))
        self._socket_ended(socket)

    def _step(self, socket: WebSocket, router: MessageRouter) -> None:
        try:
            batch = socket.receive(BATCH_MESSAGES)
        except SocketTimeoutError:
            return  # the CommandSender decides whether the silence is too long
        self._in_hand_us = batch.received_us
        rows, lifecycle, has_news = router.route(batch)
        self._messages += len(batch.messages)
        self._journal.lag_us = router.lag_us
        for table, table_rows in rows:
            if table is TICKERS:
                self._context.on_tickers(table_rows)
            self._context.sink.put(table, table_rows)
        if has_news:
            self.write_journal()
            self.commands_due.set()
        self._in_hand_us = None
        # The rows are in the sink now; from here on, only the registry's queue is waited for.
        self._waits_for_registry = bool(lifecycle)
        for frame in lifecycle:
            self._context.on_lifecycle(frame)
        self._waits_for_registry = False
        # receive() does not switch greenlets while more frames are buffered: one busy socket must not starve the
        # others.
        gevent.sleep(0)

    def _socket_ended(self, socket: WebSocket) -> None:
        # in_hand_since_us() must not become None before the gap's row is in the sink: until then this moment holds back
        # recorded_until.
        last_sign_us = self._in_hand_us = socket.last_sign_us
        self.socket, self.down_since_seconds = None, time.monotonic()
        self.subscriber.closed(last_sign_us - self._journal.lag_us)
        self.write_journal()
        # From here on, the open gap in the journal states that nothing is received.
        self._in_hand_us = None
        self._set_state("waiting")
        socket.close()

    def _set_state(self, state: State) -> None:
        metrics.CONNECTIONS.labels(self.role.name, self._state).dec()
        metrics.CONNECTIONS.labels(self.role.name, state).inc()
        self._state, self._state_since_us = state, now_us()


TICK_SECONDS = 1.0
HELD_UP_SECONDS = 10.0  # shorter pauses are common on a busy host, and hide a silence of the exchange only briefly
CLOSING_SECONDS = 5.0


class CommandSender:
    """Send what one connection's subscriber wants to send, and end a socket that is of no more use.

    It runs in its own greenlet: a socket that takes no bytes blocks only this.
    """

    def __init__(self, connection: Connection, stale_seconds: float, stopping: Stopping) -> None:
        self._connection = connection
        self._stale_seconds = stale_seconds
        self._stopping = stopping
        self._ending: WebSocket | None = None
        self._abort_seconds = 0.0
        # When the present stretch of uninterrupted reading began, as observed by the steps of this object.
        self._read_since_seconds = self._last_step_seconds = steady_seconds()

    def run(self) -> None:
        commands_due = self._connection.commands_due
        # A loop of its own: it is woken by news, and goes on after a stop until the connection has ended.
        while not self._connection.is_over:
            commands_due.wait(TICK_SECONDS)
            commands_due.clear()
            self.step()

    def step(self) -> None:
        """Send pending commands, or end the socket if it is stale, unwanted or stopping; abort it if ending takes too
        long.
        """
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

    def _send(self, socket: WebSocket) -> None:
        """Send the commands that are due. A failed send ends the socket."""
        try:
            for command in self._connection.subscriber.commands(steady_us()):
                socket.send(command)
        except SocketError as error:
            self._end(socket, str(error))

    def _why_to_end(self, socket: WebSocket) -> str | None:
        """Return the reason to end the socket, or None."""
        if self._stopping.is_set():
            return "the process is stopping"
        latest_seconds = max(socket.last_message_seconds, socket.last_ping_seconds, self._read_since_seconds)
        quiet_seconds = steady_seconds() - latest_seconds
        if quiet_seconds >= self._stale_seconds:
            return f"no message and no ping for {quiet_seconds:.0f} s"
        return self._connection.subscriber.must_reconnect

    def _note_pauses(self) -> None:
        """Note when reading was interrupted by a hand-over or a stopped process: no silence of the exchange."""
        now_seconds = steady_seconds()
        was_held_up = now_seconds - self._last_step_seconds > HELD_UP_SECONDS
        if self._connection.is_handing_over or was_held_up:
            self._read_since_seconds = now_seconds
        self._last_step_seconds = now_seconds

    def _end(self, socket: WebSocket, reason: str) -> None:
        """Begin the closing handshake.

        What the exchange still sends is received until its Close frame, or until the abort.
        """
        log.info("closing socket", conn=self._connection.number, reason=reason)
        socket.ask_to_close()
        self._ending, self._abort_seconds = socket, steady_seconds() + CLOSING_SECONDS
