import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol, Opcode

from app.kalshi.frames import CLOSE, PING, TEXT, CloseFrame, client_frame, close_of, masked


def read_as_a_server(stream):
    protocol = FrameProtocol(client=False, extensions=[])
    protocol.receive_bytes(stream)
    return list(protocol.received_frames())


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 125, 126, 65_535, 65_536, 3_000_000])
def test_a_server_reads_what_we_write(size):
    text = "x" * size
    frames = read_as_a_server(client_frame(TEXT, text.encode()))
    assert "".join(frame.payload for frame in frames) == text
    assert [frame.message_finished for frame in frames] == [True]


@given(payload=st.binary(max_size=70), key=st.binary(min_size=4, max_size=4))
def test_masking_is_the_exclusive_or_with_the_repeated_key(payload, key):
    assert masked(payload, key) == bytes(byte ^ key[number % 4] for number, byte in enumerate(payload))


def test_every_frame_has_a_key_of_its_own():
    assert len({client_frame(PING, b"")[2:6] for _ in range(20)}) == 20


@given(code=st.sampled_from([1000, 1009, 3000, 4999]), reason=st.text(max_size=100))
def test_a_close_frame_fits_whatever_its_reason(code, reason):
    [frame] = read_as_a_server(client_frame(CLOSE, CloseFrame(code, reason).payload()))
    assert frame.opcode is Opcode.CLOSE
    assert frame.payload[0] == code
    assert reason.startswith(frame.payload[1])


def test_a_missing_code_is_answered_without_one():
    assert CloseFrame(1005).payload() == b""
    assert close_of(b"") == CloseFrame(1005, "")
