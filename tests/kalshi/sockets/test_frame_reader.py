import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kalshi.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, CloseFrame, FrameReader
from tests.kalshi.sockets.server_frames import close_frame, server_frame

PAYLOAD_SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000]


def read(reader, *chunks):
    return [message for chunk in chunks for message in reader.read(chunk)]


def bytewise(stream):
    return [stream[position : position + 1] for position in range(len(stream))]


@pytest.mark.parametrize("size", PAYLOAD_SIZES)
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_of_any_length_comes_whole_with_its_last_byte(size, opcode):
    payload = bytes(number % 251 for number in range(size))
    stream = server_frame(payload, opcode)
    reader = FrameReader()
    assert read(reader, stream[:-1], b"") == []
    assert not reader.is_between_messages
    assert read(reader, stream[-1:] + server_frame(b"next")) == [payload, b"next"]
    assert reader.is_between_messages


def test_bytes_may_come_one_by_one():
    payloads = [b"a", b"b" * 200, b"", b"c" * 300]
    stream = b"".join(map(server_frame, payloads)) + server_frame(b"?", PING) + server_frame(b"d")
    reader = FrameReader()
    assert read(reader, *bytewise(stream)) == [*payloads, b"d"]
    assert (reader.pings, reader.ping) == (1, b"?")


@given(payloads=st.lists(st.binary(max_size=300), max_size=20), cuts=st.lists(st.integers(0, 5_000)))
def test_where_the_bytes_are_cut_makes_no_difference(payloads, cuts):
    stream = b"".join(map(server_frame, payloads))
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    chunks = [stream[start:end] for start, end in itertools.pairwise(edges)]
    assert read(FrameReader(), *chunks) == payloads


def test_fragments_make_one_message_and_control_frames_may_stand_between_them():
    reader = FrameReader()
    stream = (
        server_frame(b"one ", final=False)
        + server_frame(b"still there?", PING)
        + server_frame(b"two ", CONTINUATION, final=False)
        + server_frame(b"", PONG)
        + server_frame(b"", CONTINUATION, final=False)
        + server_frame(b"three", CONTINUATION)
        + server_frame(b"four")
    )
    assert read(reader, stream) == [b"one two three", b"four"]
    assert reader.ping == b"still there?"


def test_of_several_pings_the_latest_is_there_to_be_answered():
    reader = FrameReader()
    assert read(reader, server_frame(b"1", PING) + server_frame(b"2", PING)) == []
    assert (reader.pings, reader.ping) == (2, b"2")


@pytest.mark.parametrize(
    ("stream", "what"),
    [
        (server_frame(b"x", reserved=1), "reserved bit"),
        (server_frame(b"x", reserved=2), "reserved bit"),
        (server_frame(b"x", reserved=4), "reserved bit"),
        *[(server_frame(b"x", opcode), "reserved opcode") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)],
        (server_frame(b"x", masked=True), "masked"),
        (server_frame(b"x", PING, final=False), "control frame in fragments"),
        (server_frame(b"x" * 126, PING), "control frame of more than 125"),
        (server_frame(b"x" * 126, CLOSE), "control frame of more than 125"),
        (server_frame(b"x", CONTINUATION), "continuation of no message"),
        (server_frame(b"x", final=False) + server_frame(b"y"), "inside another"),
        (server_frame(b"x" * 125, length_bytes=2), "more bytes than it needs"),
        (server_frame(b"x" * 125, length_bytes=8), "more bytes than it needs"),
        (server_frame(b"x" * 65_535, length_bytes=8), "more bytes than it needs"),
        (b"\x81\x7f\x80" + bytes(7), "highest bit"),
        (server_frame(b"x", CLOSE), "Close frame with the code"),
    ],
)
def test_what_the_protocol_forbids_is_refused_after_the_messages_before_it(stream, what):
    for chunks in ([server_frame(b"good") + stream], bytewise(server_frame(b"good") + stream)):
        reader = FrameReader()
        assert read(reader, *chunks, server_frame(b"too late")) == [b"good"]
        assert what in str(reader.failure)
        assert reader.failure.close_code == 1002


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999])
def test_a_close_frame_tells_code_and_reason_and_ends_the_reading(code):
    reader = FrameReader()
    stream = server_frame(b"last") + close_frame(code, "Grüße".encode()) + server_frame(b"too late")
    assert read(reader, stream, server_frame(b"much too late")) == [b"last"]
    assert reader.close == CloseFrame(code, "Grüße")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535])
def test_a_close_code_that_may_not_be_sent_is_refused(code):
    reader = FrameReader()
    assert read(reader, close_frame(code)) == []
    assert (reader.close, reader.failure.close_code) == (None, 1002)


def test_a_close_frame_without_a_code_is_allowed():
    reader = FrameReader()
    assert read(reader, server_frame(b"", CLOSE)) == []
    assert reader.close == CloseFrame(1005, "")


def test_a_close_reason_that_is_not_text_is_refused():
    reader = FrameReader()
    assert read(reader, close_frame(1000, b"\xff")) == []
    assert reader.failure.close_code == 1007


def test_a_text_that_is_not_utf_8_is_left_to_the_decoder():
    assert read(FrameReader(), server_frame(b"\xff\xfe")) == [b"\xff\xfe"]


@pytest.mark.parametrize("limit", [0, 50, 300, 70_000])
def test_a_message_may_be_as_long_as_the_limit_and_no_longer(limit):
    fits, too_long = server_frame(b"x" * limit), server_frame(b"x" * (limit + 1))
    reader = FrameReader(limit)
    assert read(reader, fits + too_long) == [b"x" * limit]
    assert reader.failure.close_code == 1009


def test_a_message_too_long_is_refused_before_its_bytes_come():
    reader = FrameReader()
    assert read(reader, b"\x81\x7f" + (64 * 1024 * 1024 + 1).to_bytes(8)) == []
    assert reader.failure.close_code == 1009


def test_the_limit_counts_all_fragments_of_a_message():
    reader = FrameReader(10)
    whole = server_frame(b"12345", final=False) + server_frame(b"67890", CONTINUATION)
    too_long = server_frame(b"12345", final=False) + server_frame(b"678901", CONTINUATION)
    assert read(reader, whole + too_long) == [b"1234567890"]
    assert reader.failure.close_code == 1009


def test_fragments_of_nothing_take_no_memory():
    reader = FrameReader()
    reader.read(server_frame(b"", final=False))
    for _ in range(1_000):
        reader.read(server_frame(b"", CONTINUATION, final=False) * 10)
    assert len(reader._fragments) + len(reader._rest) == 0
    assert reader.read(server_frame(b"end", CONTINUATION)) == [b"end"]


def test_a_long_message_in_many_pieces_takes_time_in_proportion():
    # Putting it together anew with every piece would copy a terabyte.
    payload = bytes(4 << 20)
    stream = memoryview(server_frame(payload))
    reader = FrameReader()
    pieces = (bytes(stream[start : start + 8]) for start in range(0, len(stream), 8))
    assert [len(message) for piece in pieces for message in reader.read(piece)] == [len(payload)]
