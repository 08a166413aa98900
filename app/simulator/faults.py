"""The faults that can be inflicted, in the form that a plan file or the body of a request gives them."""

from typing import Annotated, Literal

import msgspec


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, tag_field="fault"):
    """A fault of selected connections: `connections` are ordinals, `keys` are key ids; an empty list selects all."""

    connections: list[int] = []
    keys: list[str] = []

    def selects(self, ordinal: int, key_id: str) -> bool:
        return (not self.connections or ordinal in self.connections) and (not self.keys or key_id in self.keys)


class FrameFault(Fault, kw_only=True):
    """A fault of the frames of subscriptions, on each selected connection, present or future.

    It lets `skip` frames pass, then takes `count` of them (0: until it is lifted), one of each `every`.
    """

    channels: list[str] = []
    types: list[str] = []
    skip: int = 0
    count: int = 1
    every: Annotated[int, msgspec.Meta(ge=1)] = 1


class Drop(FrameFault, tag="drop"):
    """The frame is removed from the stream: the client sees a gap in seq."""


class Lose(FrameFault, tag="lose"):
    """The frame never existed, so that there is no gap: nothing on this connection shows the loss to the client."""


class Duplicate(FrameFault, tag="duplicate"):
    """The frame is sent twice, with the same seq."""


class Reorder(FrameFault, tag="reorder"):
    """The frame is sent after the one that follows it on its subscription."""


class Corrupt(FrameFault, tag="corrupt"):
    """The frame is altered: `bytes` makes it invalid UTF-8, `json` invalid JSON, `value` gives it a wrong value."""

    how: Literal["bytes", "json", "value"] = "json"


class Truncate(FrameFault, tag="truncate"):
    """Half of the JSON is sent, in a valid frame."""


class Untimed(FrameFault, tag="untimed"):
    """Order book deltas are sent without ts and ts_ms."""


class SimClose(Fault, tag="close"):
    code: int = 1001
    reason: str = ""


class Reset(Fault, tag="reset"):
    """The connection breaks without a Close frame."""


class Cut(Fault, tag="cut"):
    """Half of a frame is sent, then the connection breaks."""


class HalfOpen(Fault, tag="half_open"):
    """The connection stays open, but nothing more is sent or answered."""


class Stall(Fault, kw_only=True, tag="stall"):
    """Nothing is sent for a while; then everything that had to wait is sent."""

    seconds: float


class SubscriptionError(Fault, tag="subscription_error"):
    channels: list[str] = []
    code: Literal[10, 25] = 10


class Refuse(Fault, kw_only=True, tag="refuse"):
    """New connections are reset immediately, or answered with an HTTP status. `keys` only matter to the latter."""

    seconds: float
    status: int = 0


class Halt(Fault, kw_only=True, tag="halt"):
    """Trading stops for a while, as every Thursday morning; connections stay."""

    seconds: float


class Maintenance(Fault, kw_only=True, tag="maintenance"):
    """Trading stops, connections are closed, everything answers 503; afterwards the markets' clocks restart."""

    seconds: float


class SimRestError(Fault, tag="rest_error"):
    """The next `count` requests (0: all for `seconds`) whose path starts with `path` get this status."""

    status: int = 500
    path: str = ""
    count: int = 1
    seconds: float = 3_600.0


class RestDelay(Fault, kw_only=True, tag="rest_delay"):
    """The next `count` requests (0: all for `seconds`) whose path starts with `path` are answered late."""

    delay_seconds: float
    path: str = ""
    count: int = 1
    seconds: float = 3_600.0


AnyFrameFault = Drop | Lose | Duplicate | Reorder | Corrupt | Truncate | Untimed
ConnectionFault = SimClose | Reset | Cut | HalfOpen | Stall | SubscriptionError
ServiceFault = Refuse | Halt | Maintenance | SimRestError | RestDelay
AnyFault = AnyFrameFault | ConnectionFault | ServiceFault


class Planned(msgspec.Struct, forbid_unknown_fields=True):
    """One entry of a plan file: the fault, and its time in seconds after the exchange's start."""

    at_seconds: float
    fault: AnyFault


_fault: msgspec.json.Decoder[AnyFault] = msgspec.json.Decoder(AnyFault)


def decode_fault(text: bytes) -> AnyFault:
    return _fault.decode(text)


def decode_plan(text: bytes) -> list[Planned]:
    """Return the planned faults in order of time. Raise msgspec.DecodeError if the text is no plan."""
    msgspec.json.decode(text)  # a file that is no JSON is reported as that, not as a wrong entry
    return sorted(msgspec.json.decode(text, type=list[Planned]), key=lambda planned: planned.at_seconds)
