"""Frames per second of our reader beside websocket-client as it comes: the same bytes over a loopback connection, in
turns, in processes whose sockets are gevent's, as the gatherer's are.

Counted per second of the receiving process's own processor time, since that is what a gatherer is short of; the sender
has another core.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.kalshi.sockets.scripted_server import Authority, accept, listening
from tests.kalshi.sockets.server_frames import server_frame
from tests.processes import ROOT, environment

PROGRAM = "tests.bench.programs.receive_frames"
FRAMES = {"ours": 300_000, "websocket-client": 60_000}
PIECE_FRAMES = 1_000
ROUNDS = 3
PAYLOAD_BYTES = 240  # an order book delta


def run(report):
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority()
        authority_file = Path(folder, "authority.pem")
        authority.write_certificate(authority_file)
        measure(report, "plain", None, "", bar=150_000)
        measure(report, "tls", authority.server_context(), authority_file, bar=None)


def measure(report, transport, context, authority_file, bar):
    rates = {way: [] for way in FRAMES}
    for _ in range(ROUNDS):
        for way, found in rates.items():
            found.append(received(way, context, authority_file))
    best = {way: statistics.median(found["per_processor_second"] for found in rates[way]) for way in rates}
    conditions = {"payload_bytes": PAYLOAD_BYTES, "rounds": ROUNDS}
    on_the_clock = statistics.median(found["per_second"] for found in rates["ours"])
    report(f"frames_{transport}_per_cpu_s", best["ours"], "frames/s", bar=bar, frames=FRAMES["ours"], **conditions)
    report(f"frames_{transport}_per_s", on_the_clock, "frames/s", frames=FRAMES["ours"], **conditions)
    theirs = FRAMES["websocket-client"]
    report(f"websocket_client_{transport}_per_cpu_s", best["websocket-client"], "frames/s", frames=theirs, **conditions)
    report(f"frames_{transport}_to_websocket_client", best["ours"] / best["websocket-client"], "ratio", bar=4)


def received(way, context, authority_file):
    """What the receiving process says of itself."""

    def send(connection):
        accept(connection)
        piece = server_frame(b"x" * PAYLOAD_BYTES) * PIECE_FRAMES
        # One piece more: the last batch is a whole one then.
        for _ in range(FRAMES[way] // PIECE_FRAMES + 1):
            connection.sendall(piece)
        wait_for_the_end(connection)

    with listening(send, context) as url:
        done = subprocess.run(
            [sys.executable, "-m", PROGRAM, way, url, str(FRAMES[way]), str(authority_file)],
            env=environment(),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            timeout=120,
            check=True,
        )
    return json.loads(done.stdout)


def wait_for_the_end(connection):
    try:
        while connection.recv(1 << 16):
            assert connection
    except ConnectionError:
        return
