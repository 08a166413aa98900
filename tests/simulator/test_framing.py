"""Frames of RFC 6455: whatever a client sends, in whatever pieces it arrives."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame
from websockets.frames import Opcode as TheirOpcode
from websockets.streams import StreamReader

from app.simulator.websocket.framing import Opcode, Received, SimFrameReader, SimProtocolError, frame

# Around the lengths at which the header grows.
SIZES = st.sampled_from([0, 1, 124, 125, 126, 127, 128, 65_535, 65_536, 65_537])


def masked(payload, opcode=TheirOpcode.TEXT, fin=True):
    return Frame(opcode, payload, fin=fin).serialize(mask=True)


@given(st.lists(SIZES, max_size=5), st.lists(st.integers(1, 5_000), min_size=1, max_size=20))
def test_messages_survive_any_cutting(sizes, cuts):
    payloads = [bytes([number]) * size for number, size in enumerate(sizes)]
    stream, reader, seen, position = b"".join(map(masked, payloads)), SimFrameReader(), [], 0
    while position < len(stream):
        for cut in cuts:
            seen += reader.feed(stream[position : position + cut])
            position += cut
    assert seen == [Received(Opcode.TEXT, payload) for payload in payloads]


@given(st.lists(st.binary(max_size=50), min_size=2, max_size=5))
def test_fragments_become_one_message_around_control_frames(parts):
    reader, stream = SimFrameReader(), b""
    for number, part in enumerate(parts):
        opcode = TheirOpcode.BINARY if number == 0 else TheirOpcode.CONT
        stream += masked(part, opcode, fin=number == len(parts) - 1)
        if number < len(parts) - 1:
            stream += masked(b"still there", TheirOpcode.PING)
    *pings, message = reader.feed(stream)
    assert message == Received(Opcode.BINARY, b"".join(parts))
    assert pings == [Received(Opcode.PING, b"still there")] * (len(parts) - 1)


@given(SIZES)
def test_ours_are_read_by_others(size):
    payload = b"x" * size
    reader = StreamReader()
    reader.feed_data(frame(payload))
    parsing = Frame.parse(reader.read_exact, mask=False)
    with pytest.raises(StopIteration) as parsed:
        next(parsing)
    assert (parsed.value.value.opcode, parsed.value.value.data) == (TheirOpcode.TEXT, payload)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(b"no mask"), 1002),
        (b"\xc1\x80" + bytes(4), 1002),
        (b"\x83\x80" + bytes(4), 1002),
        (b"\x09\x80" + bytes(4), 1002),
        (b"\x89\xfe\x00\x80" + bytes(4 + 128), 1002),
        (b"\x80\x80" + bytes(4), 1002),
        (masked(b"a", fin=False) + masked(b"b"), 1002),
        (struct.pack("!BBQ", 0x81, 0xFF, 65 * 1024 * 1024), 1009),
    ],
    ids=["unmasked", "reserved", "opcode", "split control", "long control", "no start", "two starts", "too big"],
)
def test_what_is_no_frame_closes_the_connection(data, code):
    with pytest.raises(SimProtocolError) as error:
        list(SimFrameReader().feed(data))
    assert error.value.code == code
