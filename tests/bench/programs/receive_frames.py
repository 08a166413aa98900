"""Receives so many frames in one of two ways, as a worker does, and says what that took: see tests/bench/frames.py."""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import ssl  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

import gevent  # noqa: E402
import websocket  # noqa: E402

from app.kalshi.websocket import connect  # noqa: E402
from app.runtime import logs  # noqa: E402

YIELD_FRAMES = 50
TIMEOUT_SECONDS = 30


def ours(url, context):
    with connect(url, {}, TIMEOUT_SECONDS, context) as opened:
        while True:
            yield opened.receive(YIELD_FRAMES).messages


def websocket_client(url, context):
    options = {"context": context} if context else {}
    opened = websocket.create_connection(url, TIMEOUT_SECONDS, sslopt=options, skip_utf8_validation=True)
    while True:
        yield [opened.recv_data()[1] for _ in range(YIELD_FRAMES)]


def main(way, url, frames, authority_file):
    logs.configure("text", "warning")
    context = ssl.create_default_context(cafile=authority_file) if authority_file else None
    batches = {"ours": ours, "websocket-client": websocket_client}[way](url, context)
    received = len(next(batches))
    warm_up, start_seconds, start_processor = received, time.perf_counter(), time.process_time()
    while received < int(frames):
        received += len(next(batches))
        gevent.sleep(0)
    processor_seconds, seconds = time.process_time() - start_processor, time.perf_counter() - start_seconds
    counted = received - warm_up
    print(json.dumps({"per_processor_second": counted / processor_seconds, "per_second": counted / seconds}))


main(*sys.argv[1:])
