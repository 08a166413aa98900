"""The effect of frame faults on one connection's outgoing frames.

In: frames in the order of sending. Out: none, one or several frames each, and entries of the ledger for withheld ones.
`Lose` and `Untimed` act before a frame is encoded, since they change its seq or its fields; the others act on its
bytes.
"""

from typing import TYPE_CHECKING, NamedTuple

from app.simulator.faults import AnyFrameFault, Corrupt, Drop, Duplicate, Lose, Reorder, Truncate, Untimed
from app.simulator.limits import SimLedger
from app.simulator.websocket.dollar_frames import Message
from app.simulator.websocket.subscription import NOT_OF_THE_HISTORY, Outgoing

if TYPE_CHECKING:
    from app.simulator.websocket.subscription import SimSubscription


class Running:
    """A fault in force: how many frames it still lets pass, and how many it has taken."""

    def __init__(self, fault_id: int, fault: AnyFrameFault) -> None:
        self.fault_id = fault_id
        self.fault = fault
        self.taken = 0
        self._skip = fault.skip
        self._prefixes = tuple(b'{"type":"%b"' % kind.encode() for kind in fault.types)

    def takes(self, channel: str, start: bytes) -> bool:
        """Return True if the fault takes this frame, and count it."""
        fault = self.fault
        if fault.channels and channel not in fault.channels:
            return False
        if self._prefixes and not start.startswith(self._prefixes):
            return False
        if self._skip:
            self._skip -= 1
            return False
        self._skip = fault.every - 1
        self.taken += 1
        return True

    @property
    def is_spent(self) -> bool:
        return 0 < self.fault.count <= self.taken


class Count(NamedTuple):
    fault_id: int
    taken: int


class Tampering:
    """The frame faults in force on one connection."""

    def __init__(self, connection: str, ledger: SimLedger) -> None:
        self._connection = connection
        self._ledger = ledger
        self._running: list[Running] = []
        self._held_back: Outgoing | None = None
        self._done: list[Count] = []

    def add(self, fault_id: int, fault: AnyFrameFault) -> None:
        self._running.append(Running(fault_id, fault))

    def lift(self, fault_id: int) -> None:
        self._done += [Count(each.fault_id, each.taken) for each in self._running if each.fault_id == fault_id]
        self._running = [each for each in self._running if each.fault_id != fault_id]

    def __bool__(self) -> bool:
        return bool(self._running) or self._held_back is not None

    def counts(self) -> list[Count]:
        return [*self._done, *(Count(each.fault_id, each.taken) for each in self._running)]

    def keeps_time(self, subscription: "SimSubscription") -> bool:
        """Return False if an Untimed fault takes the next delta: then it is sent without its times."""
        return not self._running or not self._take((Untimed,), subscription, b'{"type":"orderbook_delta"')

    def hides(self, subscription: "SimSubscription", ordinal: int, message: Message) -> bool:
        """Return True if a Lose fault takes the change: then it gets no frame, and no seq is used."""
        if not self._take((Lose,), subscription, message.head):
            return False
        self._ledger.sent(self._connection, ordinal, "withheld")
        return True

    def apply(self, outgoing: Outgoing) -> list[Outgoing]:
        """Return the frames to send in place of this one, including one held back by Reorder."""
        if outgoing.subscription is None:
            return [outgoing]
        kinds = (Drop, Duplicate, Reorder, Corrupt, Truncate)
        running = self._take(kinds, outgoing.subscription, outgoing.payload[:64])
        result = self._apply_fault(running.fault, outgoing) if running else [outgoing]
        held_back = self._held_back
        if held_back is None or held_back is outgoing or held_back.subscription is not outgoing.subscription:
            return result
        # A frame held back by Reorder follows the next one of its subscription.
        self._held_back = None
        return [*result, held_back]

    def _take(
        self, kinds: tuple[type[AnyFrameFault], ...], subscription: "SimSubscription", start: bytes
    ) -> Running | None:
        """Return the first running fault of these kinds that takes the frame, or None. A spent one is lifted."""
        for running in self._running:
            if isinstance(running.fault, kinds) and running.takes(subscription.channel, start):
                if running.is_spent:
                    self.lift(running.fault_id)
                return running
        return None

    def _apply_fault(self, fault: AnyFrameFault, outgoing: Outgoing) -> list[Outgoing]:
        if isinstance(fault, Duplicate):
            return [outgoing, outgoing._replace(what="duplicate")]
        if isinstance(fault, Corrupt):
            return [outgoing._replace(payload=_corrupted(outgoing.payload, fault.how), what="altered")]
        if isinstance(fault, Truncate):
            return [outgoing._replace(payload=outgoing.payload[: len(outgoing.payload) // 2], what="altered")]
        if isinstance(fault, Reorder):
            before, self._held_back = self._held_back, outgoing
            return [before] if before is not None else []
        self._withhold(outgoing)
        return []

    def _withhold(self, outgoing: Outgoing) -> None:
        if outgoing.ordinal != NOT_OF_THE_HISTORY:
            self._ledger.sent(self._connection, outgoing.ordinal, "withheld")
        elif outgoing.snapshot is not None:
            self._ledger.snapshot(self._connection, *outgoing.snapshot, "withheld")


def _corrupted(payload: bytes, how: str) -> bytes:
    if how == "bytes":
        return payload[:-3] + b"\xff\xfe" + payload[-1:]
    if how == "json":
        return payload.replace(b'"msg":', b'"msg";', 1)
    # Change the last digit of the message, within the envelope: it stays valid JSON with a wrong value.
    for place in range(len(payload) - 1, -1, -1):
        if payload[place : place + 1].isdigit():
            other = b"%d" % ((int(payload[place : place + 1]) + 1) % 10)
            return payload[:place] + other + payload[place + 1 :]
    return payload
