import threading
import time

import pytest

from app.kalshi.errors import ConnectionLostError, ProtocolError, SocketTimeoutError
from app.kalshi.frames import CONTINUATION, PING, TEXT
from tests.kalshi.sockets.scripted_server import connected
from tests.kalshi.sockets.server_frames import close_frame, server_frame


def everything(opened, max_messages=50):
    """All batches up to the end, and what the end was."""
    batches = []
    while True:
        try:
            batches.append(opened.receive(max_messages))
        except (ConnectionLostError, ProtocolError) as ending:
            return batches, ending


def messages_of(batches):
    return [message for batch in batches for message in batch.messages]


def test_messages_come_in_order_and_in_batches_of_at_most_so_many(transport):
    sent = [f"message {number}".encode() * (number % 40) for number in range(5_000)]
    stream = b"".join(map(server_frame, sent))
    with connected(lambda peer: peer.send(stream), transport) as opened:
        batches, _ = everything(opened, max_messages=7)
    assert messages_of(batches) == sent
    assert {len(batch.messages) for batch in batches} <= set(range(1, 8))
    assert max(len(batch.messages) for batch in batches) == 7


def test_a_message_of_megabytes_comes_whole(transport):
    sent = bytes(range(256)) * 12_000
    with connected(lambda peer: peer.send(server_frame(sent) + server_frame(b"after")), transport) as opened:
        batches, _ = everything(opened)
    assert messages_of(batches) == [sent, b"after"]


def test_the_time_of_a_batch_is_that_of_the_read_that_completed_it():
    go_on = threading.Event()

    def script(peer):
        peer.send(server_frame(b"1") + server_frame(b"2") + server_frame(b"begun ", final=False))
        assert go_on.wait(120)
        peer.send(server_frame(b"and done", CONTINUATION))

    with connected(script) as opened:
        before_us = time.time_ns() // 1000
        first = opened.receive(max_messages=1)
        second = opened.receive(max_messages=1)
        after_us = time.time_ns() // 1000
        go_on.set()
        third = opened.receive()
    assert (first.messages, second.messages, third.messages) == ([b"1"], [b"2"], [b"begun and done"])
    assert before_us <= first.received_us == second.received_us <= after_us <= third.received_us


def test_silence_is_a_timeout_after_which_receiving_goes_on():
    go_on = threading.Event()

    def script(peer):
        peer.send(server_frame(b"half of it")[:5])
        assert go_on.wait(120)
        peer.send(server_frame(b"half of it")[5:])

    with connected(script, timeout_seconds=0.05) as opened:
        for _ in range(2):
            with pytest.raises(SocketTimeoutError):
                opened.receive()
        go_on.set()
        assert received_within(opened, attempts=200) == [b"half of it"]


def received_within(opened, attempts):
    for _ in range(attempts):
        try:
            return opened.receive().messages
        except SocketTimeoutError as error:
            last = error
    raise last


@pytest.mark.parametrize(
    ("rest", "where"),
    [(b"", "between messages"), (server_frame(b"cut")[:-1], "inside"), (server_frame(b"cut", final=False), "inside")],
)
def test_a_connection_that_just_ends_is_lost_after_what_it_delivered(transport, rest, where):
    with connected(lambda peer: peer.send(server_frame(b"delivered") + rest), transport) as opened:
        batches, ending = everything(opened)
        with pytest.raises(ConnectionLostError, match=where):
            opened.receive()
    assert messages_of(batches) == [b"delivered"]
    assert where in str(ending)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (server_frame(b"x", reserved=4), 1002),
        (server_frame(b"x", masked=True), 1002),
        (close_frame(1005), 1002),
        (close_frame(1000, b"\xff"), 1007),
        (b"\x81\x7f" + (1 << 40).to_bytes(8), 1009),
    ],
)
def test_what_is_refused_is_answered_with_the_code_that_says_why(transport, wrong, code):
    answers = []

    def script(peer):
        peer.send(server_frame(b"good") + wrong)
        answers.extend(peer.frames_to_the_end())

    with connected(script, transport) as opened:
        batches, ending = everything(opened)
    assert messages_of(batches) == [b"good"]
    assert ending.close_code == code
    assert [(opcode, payload[0]) for opcode, payload in answers] == [(0x8, code)]


def test_the_limit_of_a_message_can_be_chosen():
    answers = []

    def script(peer):
        peer.send(server_frame(b"x" * 1_000) + server_frame(b"x" * 1_001))
        answers.extend(peer.frames_to_the_end())

    with connected(script, max_message_bytes=1_000) as opened:
        batches, ending = everything(opened)
    assert messages_of(batches) == [b"x" * 1_000]
    assert (ending.close_code, answers[0][1][0]) == (1009, 1009)


def test_signs_of_life_are_told_apart():
    go_on = threading.Event()

    def script(peer):
        peer.send(server_frame(b"heartbeat", PING))
        assert peer.next_frame() == (0xA, b"heartbeat")
        assert go_on.wait(120)
        peer.send(server_frame(b"data", TEXT))

    with connected(script, timeout_seconds=0.2) as opened:
        start_seconds = opened.last_message_seconds
        with pytest.raises(SocketTimeoutError):
            opened.receive()
        assert opened.last_message_seconds == start_seconds < opened.last_ping_seconds
        ping_seconds = opened.last_ping_seconds
        go_on.set()
        assert received_within(opened, attempts=50) == [b"data"]
        assert opened.last_message_seconds > ping_seconds == opened.last_ping_seconds
