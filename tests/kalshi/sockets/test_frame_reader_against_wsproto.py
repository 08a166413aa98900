"""The same bytes to our reader and to wsproto's: the same messages, and refused by both or by none."""

import itertools

from hypothesis import example, given, settings
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol, MessageDecoder, Opcode, ParseFailed

from app.kalshi.frames import FrameReader
from tests.kalshi.sockets.server_frames import server_frame

# wsproto takes any length and knows one registered code less.
NO_LIMIT = 1 << 63
UNKNOWN_TO_WSPROTO = b"\x03\xf6"
# Both judge a header only when it is complete, wsproto sometimes not before the first byte after it.
PADDING = bytes(16)


class TextsAsBytes(MessageDecoder):
    """Leaves UTF-8 to whoever decodes the text, as we do."""

    def process_frame(self, frame):
        return super().process_frame(frame._replace(opcode=Opcode.BINARY) if frame.opcode is Opcode.TEXT else frame)


class Wsproto:
    def __init__(self):
        self.messages, self.pings, self.close, self.refusal = [], [], None, None
        self._message = b""
        self._protocol = FrameProtocol(client=True, extensions=[])
        self._protocol._message_decoder = TextsAsBytes()

    def read(self, chunk):
        if self.refusal or self.close:
            return
        self._protocol.receive_bytes(chunk)
        try:
            for frame in self._protocol.received_frames():
                self._take(frame)
                if self.close:
                    break
        except ParseFailed as error:
            self.refusal = int(error.code)

    def _take(self, frame):
        if frame.opcode is Opcode.PING:
            self.pings.append(bytes(frame.payload))
        elif frame.opcode is Opcode.CLOSE:
            self.close = (int(frame.payload[0]), frame.payload[1])
        elif frame.opcode is not Opcode.PONG:
            self._message += frame.payload
            if frame.message_finished:
                self.messages.append(self._message)
                self._message = b""


payloads = st.binary(max_size=200) | st.integers(0, 70_000).map(lambda size: b"x" * size)
opcodes = st.sampled_from([0x0, 0x1, 0x2, 0x8, 0x9, 0xA]) | st.integers(0, 15)
rarely = st.integers(0, 30).map(lambda number: number == 0)
close_payloads = st.builds(
    lambda code, reason: code.to_bytes(2) + reason,
    st.sampled_from([1000, 1001, 1004, 1005, 1006, 1007, 1011, 1015, 2999, 3000, 4999, 5000]) | st.integers(0, 65_535),
    st.text(max_size=10).map(str.encode) | st.binary(max_size=10),
)


@st.composite
def frames(draw):
    """Mostly what a server may send; sometimes not."""
    kind = draw(st.integers(0, 9))
    if kind < 4:
        return server_frame(draw(payloads))
    if kind < 6:
        return fragmented(draw)
    if kind < 8:
        return server_frame(draw(st.binary(max_size=125)), draw(st.sampled_from([0x9, 0xA])))
    if kind == 8 and draw(rarely):
        return server_frame(draw(close_payloads), 0x8)
    payload = draw(payloads)
    length_bytes = draw(st.sampled_from([None, 8] if len(payload) > 125 else [None, 2, 8])) if draw(rarely) else None
    reserved = draw(st.integers(0, 7)) if draw(rarely) else 0
    return server_frame(payload, draw(opcodes), not draw(rarely), reserved, draw(rarely), length_bytes)


def fragmented(draw):
    parts = draw(st.lists(st.binary(max_size=150), min_size=2, max_size=4))
    between = st.sampled_from([b"", b"", server_frame(b"ping", 0x9), server_frame(b"", 0xA)])
    last = len(parts) - 1
    return b"".join(
        server_frame(part, 0x1 if number == 0 else 0x0, final=number == last)
        + (draw(between) if number < last else b"")
        for number, part in enumerate(parts)
    )


@st.composite
def mangled(draw):
    """A stream of frames, of which now and then a byte is another, missing, or one too many."""
    stream = bytearray(b"".join(draw(st.lists(frames(), max_size=8))))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        position = draw(st.integers(0, max(0, min(len(stream), 400) - 1)))
        stream[position : position + draw(st.integers(0, 1))] = draw(st.binary(max_size=1))
    return bytes(stream)


def split(stream, cuts):
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


@settings(max_examples=800, deadline=None)
@given(stream=mangled() | st.binary(max_size=60), cuts=st.lists(st.integers(0, 1 << 20), max_size=12))
@example(stream=b"\x81\x7f" + bytes([0x80] + [0] * 7), cuts=[])
@example(stream=server_frame(b"\xc3", final=False) + server_frame(b"\xa9", 0x0), cuts=[1, 3])
def test_wsproto_reads_the_same(stream, cuts):
    stream = stream.replace(UNKNOWN_TO_WSPROTO, b"") + PADDING
    ours, theirs = FrameReader(NO_LIMIT), Wsproto()
    messages = []
    for chunk in split(stream, cuts):
        messages += ours.read(chunk)
        theirs.read(chunk)
    assert messages == theirs.messages
    assert ours.pings == len(theirs.pings)
    assert ours.ping == (theirs.pings or [b""])[-1]
    assert ours.close == theirs.close
    assert (ours.failure and ours.failure.close_code) == theirs.refusal
