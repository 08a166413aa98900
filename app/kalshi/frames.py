"""The frames of RFC 6455: how a client writes them, and what a Close frame says."""

import os
import struct
from typing import NamedTuple

from app.kalshi.socket_errors import INVALID_DATA, ProtocolError

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FINAL = 0x80
MASKED = 0x80
MAX_CONTROL_BYTES = 125

NORMAL_CLOSURE = 1000
NO_STATUS = 1005  # stands for a Close frame that gives no code; never on the wire
REGISTERED_CODES = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})


def client_frame(opcode: int, payload: bytes) -> bytes:
    """A whole message in one frame, masked as every frame of a client has to be."""
    first, size, key = FINAL | opcode, len(payload), os.urandom(4)
    if size < 126:
        header = struct.pack("!BB", first, MASKED | size)
    elif size < 1 << 16:
        header = struct.pack("!BBH", first, MASKED | 126, size)
    else:
        header = struct.pack("!BBQ", first, MASKED | 127, size)
    return b"".join((header, key, masked(payload, key)))


def masked(payload: bytes, key: bytes) -> bytes:
    """Twice gives the payload again. As one long number, since a loop over bytes would take seconds for a megabyte."""
    size = len(payload)
    keys = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(keys)).to_bytes(size)


class Close(NamedTuple):
    code: int
    reason: str = ""

    def payload(self) -> bytes:
        if self.code == NO_STATUS:
            return b""
        room = MAX_CONTROL_BYTES - 2
        # A character that the cut goes through is left out.
        reason = self.reason.encode()[:room].decode(errors="ignore").encode()
        return self.code.to_bytes(2) + reason


def close_of(payload: bytes) -> Close:
    if not payload:
        return Close(NO_STATUS)
    # A payload of a single byte gives no code that may be sent either.
    code = int.from_bytes(payload[:2])
    if code not in REGISTERED_CODES and not 3000 <= code < 5000:
        raise ProtocolError(f"a Close frame with the code {code} that may not be sent")
    try:
        return Close(code, payload[2:].decode())
    except UnicodeDecodeError as error:
        raise ProtocolError("a Close frame with a reason that is not UTF-8", INVALID_DATA) from error
