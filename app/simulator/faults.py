"""What can be made to go wrong, as it stands in a plan file or in the body of a request."""

from typing import Annotated, Literal

import msgspec


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, tag_field="fault"):
    """`connections` are ordinals, `keys` are key ids; empty: all of them."""

    connections: list[int] = []
    keys: list[str] = []

    def selects(self, ordinal: int, key_id: str) -> bool:
        return (not self.connections or ordinal in self.connections) and (not self.keys or key_id in self.keys)


class FrameFault(Fault, kw_only=True):
    """Befalls frames of subscriptions, on each selected connection of now and later: lets `skip` pass, then takes
    `count` of them (0: until it is lifted), one of each `every`."""

    channels: list[str] = []
    types: list[str] = []
    skip: int = 0
    count: int = 1
    every: Annotated[int, msgspec.Meta(ge=1)] = 1


class Drop(FrameFault, tag="drop"):
    """Taken out of the stream: the client sees a gap in seq."""


class Lose(FrameFault, tag="lose"):
    """Never said at all, without a gap: nothing on this connection tells the client."""


class Duplicate(FrameFault, tag="duplicate"):
    """Sent twice, with the same seq."""


class Reorder(FrameFault, tag="reorder"):
    """Sent after the frame that follows it on its subscription."""


class Corrupt(FrameFault, tag="corrupt"):
    """`bytes` makes it invalid UTF-8, `json` invalid JSON, `value` valid JSON that says something else."""

    how: Literal["bytes", "json", "value"] = "json"


class Truncate(FrameFault, tag="truncate"):
    """Half of the JSON, in a valid frame."""


class Untimed(FrameFault, tag="untimed"):
    """Order book deltas without ts and ts_ms."""


class SimClose(Fault, tag="close"):
    code: int = 1001
    reason: str = ""


class Reset(Fault, tag="reset"):
    """The connection breaks without a close frame."""


class Cut(Fault, tag="cut"):
    """Half of a frame, then the connection breaks."""


class HalfOpen(Fault, tag="half_open"):
    """The connection stays, and nothing comes or is answered any more."""


class Stall(Fault, kw_only=True, tag="stall"):
    """Nothing is sent for a while; then all that had to wait."""

    seconds: float


class SubscriptionError(Fault, tag="subscription_error"):
    channels: list[str] = []
    code: Literal[10, 25] = 10


class Refuse(Fault, kw_only=True, tag="refuse"):
    """New connections: reset at once, or answered with an HTTP status. `keys` only matter to the latter."""

    seconds: float
    status: int = 0


class Halt(Fault, kw_only=True, tag="halt"):
    """Nobody trades for a while, as every Thursday morning; connections stay."""

    seconds: float


class Maintenance(Fault, kw_only=True, tag="maintenance"):
    """Trading stops, connections are closed, everything answers 503; afterwards markets' clocks start again."""

    seconds: float


class SimRestError(Fault, tag="rest_error"):
    """The next `count` requests (0: all for `seconds`) whose path starts with `path` get this status."""

    status: int = 500
    path: str = ""
    count: int = 1
    seconds: float = 3_600.0


class RestDelay(Fault, kw_only=True, tag="rest_delay"):
    delay_seconds: float
    path: str = ""
    count: int = 1
    seconds: float = 3_600.0


AnyFrameFault = Drop | Lose | Duplicate | Reorder | Corrupt | Truncate | Untimed
ConnectionFault = SimClose | Reset | Cut | HalfOpen | Stall | SubscriptionError
ServiceFault = Refuse | Halt | Maintenance | SimRestError | RestDelay
AnyFault = AnyFrameFault | ConnectionFault | ServiceFault


class Planned(msgspec.Struct, forbid_unknown_fields=True):
    """One line of a plan file: the fault, and when it comes, counted from the exchange's start."""

    at_seconds: float
    fault: AnyFault


_fault: msgspec.json.Decoder[AnyFault] = msgspec.json.Decoder(AnyFault)


def decode_fault(text: bytes) -> AnyFault:
    return _fault.decode(text)


def decode_plan(text: bytes) -> list[Planned]:
    msgspec.json.decode(text)  # what is no JSON at all is told as that
    return sorted(msgspec.json.decode(text, type=list[Planned]), key=lambda planned: planned.at_seconds)
