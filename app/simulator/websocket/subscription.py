"""A subscription with its markets and sequence, and the outbox of its connection.

In: encoded messages. Out: frames in the order of sending. A subscription bounds its own share of the outbox, and ends
with an error when the client reads too slowly, as on the exchange.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from app.runtime.events import Event
from app.simulator.websocket.commands import TEXTS, Code
from app.simulator.websocket.dollar_frames import Message
from app.simulator.websocket.framing import Opcode

if TYPE_CHECKING:
    from app.simulator.websocket.session import SimSession


class MarketSet:
    """A set of market numbers as bits: a million markets take 125 KB, not the 60 MB of a set of strings."""

    def __init__(self, markets: Iterable[int] = ()) -> None:
        self._bits = bytearray()
        self._count = 0
        for market in markets:
            self.add(market)

    def add(self, market: int) -> bool:
        """Add a market. Return False if it was in the set already."""
        place, bit = market >> 3, 1 << (market & 7)
        if place >= len(self._bits):
            self._bits.extend(bytes(place + 1 - len(self._bits)))
        if self._bits[place] & bit:
            return False
        self._bits[place] |= bit
        self._count += 1
        return True

    def discard(self, market: int) -> bool:
        """Remove a market. Return False if it was not in the set."""
        if market not in self:
            return False
        self._bits[market >> 3] &= ~(1 << (market & 7))
        self._count -= 1
        return True

    def __contains__(self, market: int) -> bool:
        place = market >> 3
        return place < len(self._bits) and bool(self._bits[place] & (1 << (market & 7)))

    def __iter__(self) -> Iterator[int]:
        for place, byte in enumerate(self._bits):
            if byte:
                yield from (place * 8 + bit for bit in range(8) if byte & (1 << bit))

    def __len__(self) -> int:
        return self._count


# The frames that wait to be sent on one connection.

NOT_OF_THE_HISTORY = -1


class Outgoing(NamedTuple):
    """A frame that waits, with what the ledger records of it once it is sent."""

    payload: bytes
    subscription: "SimSubscription | None" = None
    ordinal: int = NOT_OF_THE_HISTORY  # of the change that it carries
    what: str = "whole"
    snapshot: tuple[int, int] | None = None  # the market and the clock of a snapshot
    opcode: Opcode = Opcode.TEXT


class Outbox:
    """The frames of one connection, in the order of sending.

    Subscriptions bound their own shares; `wait_for_room` bounds the answers to commands.
    """

    def __init__(self, room_frames: int, tamper: Callable[[Outgoing], list[Outgoing]]) -> None:
        self._waiting: deque[Outgoing] = deque()  # bounded by its users
        self._room_frames = room_frames
        self._tamper = tamper
        self._something = Event()
        self._room = Event()
        self._room.set()
        self.is_tampered = False

    def put(self, outgoing: Outgoing) -> None:
        for sent in self._tamper(outgoing) if self.is_tampered else (outgoing,):
            self._waiting.append(sent)
            if sent.subscription is not None:
                sent.subscription.queued_frames += 1
        if not self._something.is_set():
            self._something.set()

    def take(self, limit_frames: int, limit_bytes: int) -> list[Outgoing]:
        """Return the next frames, up to these limits and no further than a Close frame."""
        waiting, size_bytes = self._waiting, 0
        batch: list[Outgoing] = []
        while waiting and len(batch) < limit_frames and size_bytes < limit_bytes:
            batch.append(waiting.popleft())
            size_bytes += len(batch[-1].payload)
            if batch[-1].opcode is Opcode.CLOSE:
                break  # nothing is read after a Close frame
        if not waiting:
            self._something.clear()
        if len(waiting) < self._room_frames:
            self._room.set()
        return batch

    def wake(self) -> None:
        self._something.set()

    def wait(self) -> None:
        self._something.wait()

    def wait_for_room(self) -> None:
        if len(self._waiting) >= self._room_frames:
            self._room.clear()
            self._room.wait()

    def __len__(self) -> int:
        return len(self._waiting)


class SimSubscription:
    """One sid: its channel, its markets (none: all of them) and its sequence, shared by everything that it sends."""

    __slots__ = (
        "channel",
        "is_open",
        "listens_to_all",
        "markets",
        "queued_frames",
        "seq",
        "session",
        "sid",
        "skip_ticker_ack",
        "use_yes_price",
    )

    def __init__(
        self, session: "SimSession", sid: int, channel: str, *, listens_to_all: bool, skip_ack: bool, yes_price: bool
    ) -> None:
        self.session = session
        self.sid = sid
        self.channel = channel
        self.listens_to_all = listens_to_all
        self.skip_ticker_ack = skip_ack
        self.use_yes_price = yes_price
        self.markets = MarketSet()
        self.seq = 0
        self.queued_frames = 0
        self.is_open = True

    def deliver(self, message: Message, stamp: bytes, ordinal: int) -> None:
        """Send one more change, or end the subscription if the client reads too slowly."""
        session = self.session
        if self.queued_frames >= session.limits.buffer_frames:
            session.terminate(self, Code.BUFFER_OVERFLOW)
            return
        if session.outbox.is_tampered and session.tampering.hides(self, ordinal, message):
            return
        if message.has_seq:
            self.seq += 1
        session.outbox.put(Outgoing(message.payload(self.sid, self.seq, stamp), self, ordinal))

    def deliver_snapshot(self, message: Message, stamp: bytes, shown: tuple[int, int], command_id: int = 0) -> None:
        self.seq += 1
        payload = message.payload(self.sid, self.seq, stamp, command_id)
        self.session.outbox.put(Outgoing(payload, self, NOT_OF_THE_HISTORY, snapshot=shown))

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq

    def error(self, code: Code) -> dict[str, object]:
        return {"type": "error", "sid": self.sid, "seq": self.next_seq(), "msg": {"code": code, "msg": TEXTS[code]}}
