"""In a process whose sockets and locks are gevent's, as the workers' are."""

import textwrap

import pytest

from tests.processes import run

BEFORE = """
    from gevent import monkey
    monkey.patch_all()
    import threading
    import gevent
    import app.kalshi.websocket
    from app.runtime import logs
    from app.kalshi.frames import PING, PONG
    from app.kalshi.errors import ConnectionLostError, SocketTimeoutError
    from tests.kalshi.sockets.scripted_server import Authority, connected
    from tests.kalshi.sockets.server_frames import close_frame, server_frame

    logs.configure("text", "error")
    app.kalshi.websocket.GOODBYE_SECONDS = 0.2
    authority = Authority() if {encrypted} else None
"""

OTHERS_RUN_WHILE_ONE_WAITS = """
    seen = []

    def script(peer):
        seen.append(peer.next_frame())
        peer.send(server_frame(b"heartbeat", PING))
        seen.append(peer.next_frame())
        peer.send(server_frame(b"done") + close_frame(1000))

    with connected(script, authority) as opened:
        receiver = gevent.spawn(opened.receive)
        gevent.sleep(0.05)
        assert not receiver.ready()
        opened.send(b"hello")
        assert receiver.get(timeout=120).messages == [b"done"]
    assert seen == [(1, "hello"), (PONG, b"heartbeat")], seen
"""

CLOSING_WAKES_THE_RECEIVER = """
    let_go = threading.Event()

    def script(peer):
        assert peer.next_frame() == (8, (1000, ""))
        peer.send(server_frame(b"on its way") + close_frame(1000))
        assert let_go.wait(120)

    with connected(script, authority) as opened:
        receiver = gevent.spawn(opened.receive)
        gevent.sleep(0.05)
        opened.close()
        assert receiver.get(timeout=120).messages == [b"on its way"]
        let_go.set()

    def ending_of(opened):
        try:
            return opened.receive()
        except ConnectionLostError as ending:
            return ending

    let_go.clear()
    with connected(lambda _: let_go.wait(120), authority) as opened:
        receiver = gevent.spawn(ending_of, opened)
        gevent.sleep(0.05)
        opened.close()
        print(receiver.get(timeout=120))
        let_go.set()
"""

NEITHER_SIDE_GETS_STUCK = """
    def script(peer):
        peer.send(server_frame(b"heartbeat", PING))
        for _ in range(2_000):
            peer.send(server_frame(b"x" * 4_000))
        while (frame := peer.next_frame())[0] != PONG:
            assert frame[0] == 1
        peer.send(server_frame(b"done"))

    with connected(script, authority) as opened:
        sender = gevent.spawn(opened.send, b"y" * (16 << 20))
        gevent.sleep(0)
        messages = []
        while messages[-1:] != [b"done"]:
            messages += opened.receive().messages
        sender.get(timeout=120)
    assert len(messages) == 2_001
"""

OTHERS_RUN_BETWEEN_THE_READS_OF_A_LONG_MESSAGE = """
    turns, turns_at_reads = [], []

    def take_turns():
        while True:
            turns.append(1)
            gevent.sleep(0)

    with connected(lambda peer: peer.send(server_frame(b"x" * (8 << 20))), authority) as opened:
        read = opened._reader.read
        opened._reader.read = lambda chunk: turns_at_reads.append(len(turns)) or read(chunk)
        other = gevent.spawn(take_turns)
        assert len(opened.receive().messages[0]) == 8 << 20
        other.kill()
    assert len(turns_at_reads) > 100
    assert sorted(set(turns_at_reads)) == turns_at_reads, turns_at_reads
"""

NOTHING_FOLLOWS_HALF_A_FRAME = """
    let_go = threading.Event()
    with connected(lambda _: let_go.wait(120), authority, timeout_seconds=3) as opened:
        sender = gevent.spawn(opened.send, b"x" * (16 << 20))
        gevent.sleep(0.05)
        assert not sender.ready()
        sender.kill()
        try:
            opened.send(b"more")
        except ConnectionLostError as lost:
            print(lost)
        let_go.set()
"""

SILENCE_IS_A_TIMEOUT = """
    let_go = threading.Event()
    with connected(lambda _: let_go.wait(120), authority, timeout_seconds=0.1) as opened:
        try:
            opened.receive()
        except SocketTimeoutError:
            print("silent")
        try:
            opened.send(b"x" * (16 << 20))
        except SocketTimeoutError:
            print("stuck")
        let_go.set()
"""


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize(
    ("script", "said"),
    [
        (OTHERS_RUN_WHILE_ONE_WAITS, ""),
        (CLOSING_WAKES_THE_RECEIVER, "the connection was lost while receiving"),
        (NEITHER_SIDE_GETS_STUCK, ""),
        (SILENCE_IS_A_TIMEOUT, "silent\nstuck"),
        (OTHERS_RUN_BETWEEN_THE_READS_OF_A_LONG_MESSAGE, ""),
        (NOTHING_FOLLOWS_HALF_A_FRAME, "lost while sending"),
    ],
    ids=["others run while one waits", "closing wakes", "no side gets stuck", "silence", "long message", "killed"],
)
def test_greenlets_share_a_socket(encrypted, script, said):
    program = textwrap.dedent(BEFORE.format(encrypted=encrypted) + script + "\n    print('reached the end')")
    done = run("-W", "error", "-c", program)
    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout
    assert done.stdout.endswith("reached the end\n")
