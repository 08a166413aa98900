"""Frames to messages: each decoded once, straight into the struct of its type."""

from decimal import Decimal

import msgspec

from app.kalshi.answers import Answer
from app.kalshi.records import Data, LifecycleMessage
from app.kalshi.wire_types import Sequence, SubscriptionId


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """A frame that does not say what we understand: for quarantine. Its seq counts all the same."""

    frame: bytes
    reason: str
    type: str | None = None
    sid: int | None = None
    seq: int | None = None


Known = Data | LifecycleMessage | Answer
Message = Known | Unknown


class Head(msgspec.Struct, frozen=True, kw_only=True):
    type: str | None = None
    sid: SubscriptionId | None = None
    seq: Sequence | None = None


# Strikes and multipliers keep the digits they were written with.
_known_decoder: msgspec.json.Decoder[Known] = msgspec.json.Decoder(Known, float_hook=Decimal)
_decode_known = _known_decoder.decode
_decode_head = msgspec.json.Decoder(Head).decode


def decode(frame: bytes) -> Message:
    """Never fails: a connection outlives whatever it is told."""
    try:
        return _decode_known(frame)
    except (ValueError, ArithmeticError, RecursionError) as error:
        return unknown(frame, str(error))


def unknown(frame: bytes, reason: str) -> Unknown:
    try:
        head = _decode_head(frame)
    except (ValueError, ArithmeticError, RecursionError):
        head = Head()
    return Unknown(frame=frame, reason=reason, type=head.type, sid=head.sid, seq=head.seq)
