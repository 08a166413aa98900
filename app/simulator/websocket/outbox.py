"""What waits to be sent on one connection."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from gevent.event import Event

from app.simulator.websocket.framing import Opcode

if TYPE_CHECKING:
    from app.simulator.websocket.subscription import Subscription

NOT_OF_THE_HISTORY = -1


class Outgoing(NamedTuple):
    payload: bytes
    subscription: "Subscription | None" = None
    ordinal: int = NOT_OF_THE_HISTORY  # of the change that it tells
    what: str = "whole"
    snapshot: tuple[int, int] | None = None  # the market and the clock that it shows
    opcode: Opcode = Opcode.TEXT


class Outbox:
    """In the order of sending. Subscriptions bound their own shares; `wait_for_room` bounds the answers to commands."""

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
        waiting, size_bytes = self._waiting, 0
        batch: list[Outgoing] = []
        while waiting and len(batch) < limit_frames and size_bytes < limit_bytes:
            batch.append(waiting.popleft())
            size_bytes += len(batch[-1].payload)
            if batch[-1].opcode is Opcode.CLOSE:
                break  # nobody reads what comes after a goodbye
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
