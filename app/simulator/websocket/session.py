"""One connected client: its subscriptions, a loop that reads from it and a loop that writes to it.

In: bytes of the client, and messages put into its outbox. Out: frames, and a ledger entry for each that is sent whole.
A fault may end the connection at any point from a third greenlet: both loops take an OSError as its end.
"""

import socket
import struct
from array import array
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import gevent
import msgspec

from app.runtime import logs
from app.runtime.events import Event
from app.simulator.blast import Blast
from app.simulator.frame_faults import Tampering
from app.simulator.limits import SimLedger, SimLimits, SimTokenBucket
from app.simulator.websocket.commands import Code, CommandError
from app.simulator.websocket.framing import Opcode, Received, SimFrameReader, SimProtocolError, close_payload, frame
from app.simulator.websocket.hub import Hub
from app.simulator.websocket.responder import Responder
from app.simulator.websocket.subscription import NOT_OF_THE_HISTORY, Outbox, Outgoing, SimSubscription

LIMIT_MARKETS = 2_000_000


class Order(NamedTuple):
    subscription: SimSubscription
    markets: "array[int]"
    command_id: int
    joins: bool
    of_books: bool


class SimBacklog:
    """The requested snapshots that are not sent yet: made only as fast as the client reads, however many they are."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._orders: deque[Order] = deque()  # bounded by _enqueue
        self._place = 0
        self.waiting_markets = 0

    def show_books(
        self, subscription: SimSubscription, markets: "array[int]", *, joins: bool, command_id: int = 0
    ) -> None:
        self._enqueue(Order(subscription, markets, command_id, joins, of_books=True))

    def show_tickers(self, subscription: SimSubscription, markets: "array[int]") -> None:
        self._enqueue(Order(subscription, markets, command_id=0, joins=False, of_books=False))

    def serve(self, limit_markets: int) -> None:
        """Make the next snapshots, up to a number."""
        for _ in range(limit_markets):
            if not self._orders:
                return
            order = self._orders[0]
            if self._place < len(order.markets):
                self._serve_one(order, order.markets[self._place])
                self._place += 1
                self.waiting_markets -= 1
            else:
                self._orders.popleft()
                self._place = 0

    def __bool__(self) -> bool:
        return bool(self._orders)

    def _enqueue(self, order: Order) -> None:
        if self.waiting_markets + len(order.markets) > LIMIT_MARKETS:
            raise CommandError(Code.COMMAND_TIMEOUT, order.command_id)
        self.waiting_markets += len(order.markets)
        self._orders.append(order)
        order.subscription.session.outbox.wake()

    def _serve_one(self, order: Order, market: int) -> None:
        subscription = order.subscription
        if not subscription.is_open:
            return
        if not order.of_books:
            message = self._hub.wire.ticker(self._hub.names.of(market), self._hub.exchange.quote(market))
            subscription.session.outbox.put(
                Outgoing(message.payload(subscription.sid, 0, self._hub.stamp()), subscription)
            )
        elif order.joins and market in subscription.markets:
            self._hub.send_snapshot(subscription, market)
            self._hub.listeners(subscription.channel).add(subscription, market)
        elif not order.joins:
            self._hub.send_snapshot(subscription, market, order.command_id)


BATCH_FRAMES = 512
BATCH_BYTES = 262_144
SNAPSHOTS_AT_ONCE = 128
CLOSING_SECONDS = 2.0


class SimSession:
    """One connection, from the handshake to its end."""

    def __init__(
        self, *, ordinal: int, key_id: str, connection: socket.socket, hub: Hub, limits: SimLimits, ledger: SimLedger
    ) -> None:
        self.ordinal = ordinal
        self.key_id = key_id
        self.name = f"{ordinal}-{key_id}"
        self.limits = limits
        self.subscriptions: dict[int, SimSubscription] = {}
        self.backlog = SimBacklog(hub)
        self.tampering = Tampering(self.name, ledger)
        self.outbox = Outbox(limits.buffer_frames, self.tampering.apply)
        self.sent_frames = 0
        self.is_closing = False
        self._connection = connection
        self._hub = hub
        self._ledger = ledger
        self._responder = Responder(self, hub)
        self._commands = SimTokenBucket(limits.commands_per_second, limits.commands_per_second)
        self._flowing = Event()
        self._flowing.set()
        self._close_sent = False
        self._is_deaf = False
        self._is_cutting = False
        self._reader_ended = Event()

    def read(self) -> None:
        """Execute the client's commands until it disconnects or the session is closed."""
        reader = SimFrameReader()
        try:
            while data := self._connection.recv(65_536):
                for received in () if self._is_deaf else reader.feed(data):
                    self.outbox.wait_for_room()
                    self._handle(received)
        except SimProtocolError as error:
            self.close(error.code, error.reason)
        except OSError as error:
            logs.get(__name__).debug("connection lost", connection=self.name, reason=str(error))
        finally:
            self._reader_ended.set()

    def write(self) -> None:
        """Send what waits until a Close frame was sent or the connection breaks."""
        try:
            while not self._close_sent:
                self._flowing.wait()
                self.backlog.serve(SNAPSHOTS_AT_ONCE)
                if batch := self.outbox.take(BATCH_FRAMES, BATCH_BYTES):
                    self._send(batch)
                    gevent.sleep(0)
                # A blast only fills the time in which nothing is waiting to be sent.
                elif self._hub.blast and not self.backlog and (subscription := self.subscription_to("orderbook_delta")):
                    self._send_block(self._hub.blast, subscription)
                elif not self.backlog:
                    self.outbox.wait()
            self._shut(socket.SHUT_WR)
            self._reader_ended.wait(CLOSING_SECONDS)
        except OSError as error:
            logs.get(__name__).debug("connection lost", connection=self.name, reason=str(error))
        finally:
            self.hang_up()

    def close(self, code: int, reason: str = "") -> None:
        """Send a Close frame after everything that already waits."""
        self.is_closing = True
        self.outbox.put(Outgoing(close_payload(code, reason), opcode=Opcode.CLOSE))

    def hang_up(self) -> None:
        # Also ends the reader, which may wait in recv.
        self._end(lambda: self._shut(socket.SHUT_RDWR))

    def reset(self) -> None:
        """Break the connection as a dying machine does: no Close frame and no orderly TCP end."""
        self._end(lambda: self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)))
        self._connection.close()

    def _end(self, how: Callable[[], None]) -> None:
        try:
            how()
        except OSError as error:
            logs.get(__name__).debug("already closed", connection=self.name, reason=str(error))

    def _shut(self, how: int) -> None:
        # Not by SSLSocket's own method: after that, the reader would receive bytes that are still encrypted.
        socket.socket.shutdown(self._connection, how)

    def cut(self) -> None:
        self._is_cutting = True

    def stall(self) -> None:
        self._flowing.clear()

    def go_on(self) -> None:
        if not self._is_deaf:
            self._flowing.set()

    def go_silent(self) -> None:
        """Make the connection half open: it stays up, but nothing is read or sent any more."""
        self._is_deaf = True
        self.stall()
        self.forget()

    def spend_command(self) -> None:
        """Count a command. Raise CommandError if the client sends too many."""
        if not self._commands.take(1):
            raise CommandError(Code.TOO_MANY_COMMANDS)

    def answer(self, command_id: int, answer: dict[str, object]) -> None:
        numbered = {"id": command_id, **answer} if command_id else answer
        payload = msgspec.json.encode(numbered)
        self.outbox.put(Outgoing(payload[:-1] + self._hub.stamp() + b"}"))

    def subscription_to(self, channel: str) -> SimSubscription | None:
        return next((open_ for open_ in self.subscriptions.values() if open_.channel == channel), None)

    def book_markets(self) -> int:
        return sum(len(open_.markets) for open_ in self.subscriptions.values() if open_.channel == "orderbook_delta")

    def drop(self, subscription: SimSubscription) -> None:
        subscription.is_open = False
        self._hub.listeners(subscription.channel).forget(subscription)
        del self.subscriptions[subscription.sid]

    def terminate(self, subscription: SimSubscription, code: Code) -> None:
        """End a subscription with an error, which is the last message of its sid."""
        if subscription.is_open:
            self.drop(subscription)
            self.answer(0, subscription.error(code))

    def terminate_channels(self, channels: list[str], code: Code) -> None:
        for subscription in list(self.subscriptions.values()):
            if not channels or subscription.channel in channels:
                self.terminate(subscription, code)

    def forget(self) -> None:
        for subscription in list(self.subscriptions.values()):
            self.drop(subscription)

    def _handle(self, received: Received) -> None:
        match received.opcode:
            case Opcode.TEXT | Opcode.BINARY:
                self._responder.respond(received.payload)
            case Opcode.PING:
                self.outbox.put(Outgoing(received.payload, opcode=Opcode.PONG))
            case Opcode.CLOSE:
                self.outbox.put(Outgoing(received.payload[:2], opcode=Opcode.CLOSE))

    def _send(self, batch: list[Outgoing]) -> None:
        frames = [frame(outgoing.payload, outgoing.opcode) for outgoing in batch]
        if self._is_cutting:
            self._connection.sendall(frames[0][: len(frames[0]) // 2])
            raise ConnectionAbortedError("cut in the middle of a frame")
        waiting = memoryview(b"".join(frames))
        done, boundary, position = 0, len(frames[0]), 0
        while position < len(waiting):
            # The kernel may take part of the batch: a frame is recorded once its last byte is taken.
            position += self._connection.send(waiting[position:])
            while boundary <= position:
                self._handed_over(batch[done])
                done += 1
                if done == len(batch):
                    return
                boundary += len(frames[done])

    def _send_block(self, blast: Blast, subscription: SimSubscription) -> None:
        data, frames = blast.next_block(subscription, self._hub.now_ms())
        # Counted before sending: an answer to a command must not take one of these numbers meanwhile.
        subscription.seq += frames
        self._connection.sendall(data)
        self.sent_frames += frames
        gevent.sleep(0)

    def _handed_over(self, outgoing: Outgoing) -> None:
        """Record a frame in the ledger once its last byte is in the kernel."""
        self.sent_frames += 1
        if outgoing.subscription is not None:
            outgoing.subscription.queued_frames -= 1
        if outgoing.ordinal != NOT_OF_THE_HISTORY:
            self._ledger.sent(self.name, outgoing.ordinal, outgoing.what)
        elif outgoing.snapshot is not None:
            self._ledger.snapshot(self.name, *outgoing.snapshot, outgoing.what)
        elif outgoing.opcode is Opcode.CLOSE:
            self._close_sent = True
