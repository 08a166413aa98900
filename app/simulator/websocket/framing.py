"""RFC 6455 frames: the server's, whole and unmasked, and the client's, masked and possibly fragmented."""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

MESSAGE_LIMIT_BYTES = 64 * 1024 * 1024


class Opcode(IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class SimProtocolError(Exception):
    """A violation of RFC 6455, with the code of the Close frame that answers it."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Received(NamedTuple):
    opcode: Opcode
    payload: bytes


def frame(payload: bytes, opcode: Opcode = Opcode.TEXT) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65_536:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


def close_payload(code: int, reason: str = "") -> bytes:
    return struct.pack("!H", code) + reason.encode()[:123]


def unmask(payload: bytes, mask: bytes) -> bytes:
    # As one long number: a loop over bytes takes tens of milliseconds for a subscription to thousands of markets.
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


class SimFrameReader:
    """Decoder that takes bytes as they arrive and yields whole messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._fragments = bytearray()
        self._opcode: Opcode | None = None

    def feed(self, data: bytes) -> Iterator[Received]:
        """Yield the messages that these bytes complete. Raise SimProtocolError if they break the protocol."""
        self._buffer += data
        while (part := self._next_frame()) is not None:
            final, opcode, payload = part
            if opcode >= Opcode.CLOSE:
                yield Received(opcode, payload)
            elif (message := self._assemble(final, opcode, payload)) is not None:
                yield message

    def _next_frame(self) -> tuple[bool, Opcode, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        final, opcode, length = _read_start(buffer[0], buffer[1])
        start = 2
        if length >= 126:
            width = 2 if length == 126 else 8
            if len(buffer) < 2 + width:
                return None
            length, start = int.from_bytes(buffer[2 : 2 + width], "big"), 2 + width
        if length + len(self._fragments) > MESSAGE_LIMIT_BYTES:
            raise SimProtocolError(1009, "message too big")
        if len(buffer) < start + 4 + length:
            return None
        mask, payload = bytes(buffer[start : start + 4]), bytes(buffer[start + 4 : start + 4 + length])
        del buffer[: start + 4 + length]
        return final, opcode, unmask(payload, mask)

    def _assemble(self, final: bool, opcode: Opcode, payload: bytes) -> Received | None:
        if (opcode is Opcode.CONTINUATION) == (self._opcode is None):
            raise SimProtocolError(1002, "fragments out of order")
        self._opcode = self._opcode or opcode
        self._fragments += payload
        if not final:
            return None
        message = Received(self._opcode, bytes(self._fragments))
        self._opcode, self._fragments = None, bytearray()
        return message


def _read_start(first: int, second: int) -> tuple[bool, Opcode, int]:
    final, reserved, masked, length = bool(first & 0x80), first & 0x70, second & 0x80, second & 0x7F
    try:
        opcode = Opcode(first & 0x0F)
    except ValueError:
        raise SimProtocolError(1002, "unknown opcode") from None
    if reserved or not masked:
        raise SimProtocolError(1002, "reserved bits set, or a client's frame without a mask")
    if opcode >= Opcode.CLOSE and (not final or length > 125):
        raise SimProtocolError(1002, "a control frame must be short and whole")
    return final, opcode, length
