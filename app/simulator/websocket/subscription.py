from typing import TYPE_CHECKING

from app.simulator.frames import Message
from app.simulator.websocket.errors import TEXTS, Code
from app.simulator.websocket.market_set import MarketSet
from app.simulator.websocket.outbox import NOT_OF_THE_HISTORY, Outgoing

if TYPE_CHECKING:
    from app.simulator.websocket.session import Session


class Subscription:
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
        self, session: "Session", sid: int, channel: str, *, listens_to_all: bool, skip_ack: bool, yes_price: bool
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
        """One more change, or the end of the subscription when the client reads too slowly."""
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
