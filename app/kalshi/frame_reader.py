from typing import NamedTuple

from app.kalshi.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FINAL,
    MASKED,
    MAX_CONTROL_BYTES,
    PING,
    PONG,
    TEXT,
    Close,
    close_of,
)
from app.kalshi.socket_errors import MESSAGE_TOO_BIG, ProtocolError

MAX_MESSAGE_BYTES = 64 << 20
OPCODES = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
RESERVED = 0x70
WHOLE_TEXT = FINAL | TEXT


class _Frame(NamedTuple):
    """Where a frame's payload lies; its bytes may not all be there yet."""

    opcode: int
    is_final: bool
    start: int
    end: int


class FrameReader:
    """Makes messages of the bytes a server sends, in whatever pieces they come.

    Whether a text is UTF-8 is left to the JSON decoder, which looks at every byte anyway. Of several pings only the
    latest has to be answered. After a Close frame or a failure nothing more is read.
    """

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self.pings = 0
        self.ping = b""
        self.close: Close | None = None
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
        """The messages that are complete with these bytes. Those before a failure count."""
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
        """Takes texts in one short frame for as long as they follow each other, and returns where they end. Almost all
        that comes is such: this loop is what a message costs."""
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
        """None while its header is incomplete."""
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
            # One growing array: a list would grow even by fragments of nothing.
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
