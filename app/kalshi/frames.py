"""The frames of RFC 6455: writing them as a client, and reading messages from the server's bytes.

Nothing here touches a socket: websocket.py passes the bytes. Three steps would be costly in Python and are not taken:
there is no loop over bytes for the mask, no UTF-8 check (the JSON decoder does it), and almost every message, being one
short text frame, takes the short path in `_whole_texts`.
"""

import os
import struct
from typing import NamedTuple

from app.kalshi.errors import INVALID_DATA, MESSAGE_TOO_BIG, ProtocolError

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FINAL = 0x80
MASKED = 0x80
MAX_CONTROL_BYTES = 125

NORMAL_CLOSURE = 1000
NO_STATUS = 1005  # reported for a Close frame without a code; never on the wire
REGISTERED_CODES = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})


def client_frame(opcode: int, payload: bytes) -> bytes:
    """Return a whole message in one frame, masked, as the protocol demands of a client."""
    first, size, key = FINAL | opcode, len(payload), os.urandom(4)
    if size < 126:
        header = struct.pack("!BB", first, MASKED | size)
    elif size < 1 << 16:
        header = struct.pack("!BBH", first, MASKED | 126, size)
    else:
        header = struct.pack("!BBQ", first, MASKED | 127, size)
    return b"".join((header, key, masked(payload, key)))


def masked(payload: bytes, key: bytes) -> bytes:
    """XOR the payload with the repeated key; applied twice, this returns the payload.

    It works on one long integer, since a loop over bytes would take seconds for a megabyte.
    """
    size = len(payload)
    keys = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(keys)).to_bytes(size)


class CloseFrame(NamedTuple):
    code: int
    reason: str = ""

    def payload(self) -> bytes:
        if self.code == NO_STATUS:
            return b""
        room = MAX_CONTROL_BYTES - 2
        # A Close frame holds 125 bytes; a character that this limit cuts through is left out.
        reason = self.reason.encode()[:room].decode(errors="ignore").encode()
        return self.code.to_bytes(2) + reason


def close_of(payload: bytes) -> CloseFrame:
    """Parse the payload of a Close frame. Raise ProtocolError for a code or a reason that must not be sent."""
    if not payload:
        return CloseFrame(NO_STATUS)
    # A payload of a single byte holds no valid code either.
    code = int.from_bytes(payload[:2])
    if code not in REGISTERED_CODES and not 3000 <= code < 5000:
        raise ProtocolError(f"a Close frame with the code {code} that may not be sent")
    try:
        return CloseFrame(code, payload[2:].decode())
    except UnicodeDecodeError as error:
        raise ProtocolError("a Close frame with a reason that is not UTF-8", INVALID_DATA) from error


MAX_MESSAGE_BYTES = 64 << 20
OPCODES = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
RESERVED = 0x70
WHOLE_TEXT = FINAL | TEXT


class _Frame(NamedTuple):
    """The opcode of a frame and the range of its payload, whose bytes may not all have arrived yet."""

    opcode: int
    is_final: bool
    start: int
    end: int


class FrameReader:
    """Assemble messages from the server's bytes, which arrive in pieces of any size.

    UTF-8 is not checked here: the JSON decoder looks at every byte anyway. Only the latest of several pings has to be
    answered, so only that one is kept. After a Close frame or a failure nothing more is read.
    """

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self.pings = 0
        self.ping = b""
        self.close: CloseFrame | None = None
        self.failure: ProtocolError | None = None
        self._max_message_bytes = max_message_bytes
        self._fragments: bytearray | None = None
        self._rest = bytearray()
        self._needed_bytes = 0

    @property
    def is_over(self) -> bool:
        return self.close is not None or self.failure is not None

    @property
    def is_between_messages(self) -> bool:
        return not self._rest and self._fragments is None

    def read(self, chunk: bytes) -> list[bytes]:
        """Return the messages that these bytes complete, also the ones before a protocol failure."""
        messages: list[bytes] = []
        if self._rest:
            self._rest += chunk
            if len(self._rest) < self._needed_bytes:
                return messages
            chunk = bytes(self._rest)
            self._rest.clear()
        try:
            self._parse(chunk, messages)
        except ProtocolError as error:
            self.failure = error
        return messages

    def _parse(self, data: bytes, messages: list[bytes]) -> None:
        position = 0
        while not self.is_over:
            if self._fragments is None:
                position = self._whole_texts(data, position, messages)
            frame = self._next_frame(data, position)
            if frame is None or frame.end > len(data):
                self._rest += data[position:]
                break
            self._take(frame, data[frame.start : frame.end], messages)
            position = frame.end

    def _whole_texts(self, data: bytes, position: int, messages: list[bytes]) -> int:
        """Append consecutive whole short text frames to `messages`, and return the position after the last of them.

        Almost all frames are of this kind, so this loop is the cost of a message.
        """
        available = len(data)
        last_header = available - 2
        limit = self._max_message_bytes
        while position <= last_header and data[position] == WHOLE_TEXT:
            size = data[position + 1]
            start = position + 2
            if size == 126:
                start += 2
                if start > available:
                    break
                size = data[position + 2] << 8 | data[position + 3]
                if size < 126:
                    break
            elif size > 126:
                break
            end = start + size
            if end > available or size > limit:
                break
            messages.append(data[start:end])
            position = end
        return position

    def _next_frame(self, data: bytes, position: int) -> _Frame | None:
        """Return the next frame, or None while its header is incomplete."""
        start = position + 2
        if not self._has(data, position, start):
            return None
        first, second = data[position], data[position + 1]
        self._check_header(first, second)
        size = second
        if size > 125:
            width = 2 if size == 126 else 8
            start += width
            if not self._has(data, position, start):
                return None
            size = _long_size(data[start - width : start])
        if first & 0x0F < CLOSE and size + len(self._fragments or b"") > self._max_message_bytes:
            raise ProtocolError(f"a message of more than {self._max_message_bytes} bytes", MESSAGE_TOO_BIG)
        self._has(data, position, start + size)
        return _Frame(first & 0x0F, bool(first & FINAL), start, start + size)

    def _has(self, data: bytes, position: int, end: int) -> bool:
        # Until this many bytes are there, read() only collects them: a long message is not parsed with every chunk.
        self._needed_bytes = end - position
        return end <= len(data)

    def _check_header(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        if first & RESERVED:
            raise ProtocolError("a frame with a reserved bit, which only an extension may use")
        if opcode not in OPCODES:
            raise ProtocolError(f"a frame with the reserved opcode {opcode}")
        if second & MASKED:
            raise ProtocolError("a masked frame, which only a client may send")
        if opcode >= CLOSE and not first & FINAL:
            raise ProtocolError("a control frame in fragments")
        if opcode >= CLOSE and second > MAX_CONTROL_BYTES:
            raise ProtocolError(f"a control frame of more than {MAX_CONTROL_BYTES} bytes")
        if opcode == CONTINUATION and self._fragments is None:
            raise ProtocolError("the continuation of no message")
        if opcode in (TEXT, BINARY) and self._fragments is not None:
            raise ProtocolError("a message inside another one")

    def _take(self, frame: _Frame, payload: bytes, messages: list[bytes]) -> None:
        if frame.opcode == PING:
            self.pings += 1
            self.ping = payload
        elif frame.opcode == CLOSE:
            self.close = close_of(payload)
        elif frame.opcode != PONG:
            self._take_data(frame.is_final, payload, messages)

    def _take_data(self, is_final: bool, payload: bytes, messages: list[bytes]) -> None:
        if self._fragments is not None:
            # One growing array bounds memory by the bytes received: a list would grow even by empty fragments.
            self._fragments += payload
            payload = bytes(self._fragments) if is_final else b""
        if is_final:
            self._fragments = None
            messages.append(payload)
        elif self._fragments is None:
            self._fragments = bytearray(payload)


def _long_size(encoded: bytes) -> int:
    size = int.from_bytes(encoded)
    if size < (126 if len(encoded) == 2 else 1 << 16):
        raise ProtocolError("a length in more bytes than it needs")
    if size >> 63:
        raise ProtocolError("a length with its highest bit set")
    return size
