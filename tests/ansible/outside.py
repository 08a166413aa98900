"""What misses the platform, outside of it: an address that is called again and again, and that knows when it was."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer


class Outside:
    def __init__(self, url):
        self.url = url
        self.calls = []
        self._last_seconds = time.monotonic()

    def hear(self, call):
        self.calls.append(call)
        self._last_seconds = time.monotonic()

    def silent_seconds(self):
        return time.monotonic() - self._last_seconds


@contextmanager
def listening_outside():
    class Listener(BaseHTTPRequestHandler):
        def do_POST(self):
            outside.hear(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            """Keep quiet: what came is in the calls."""

    server = HTTPServer(("127.0.0.1", 0), Listener)
    outside = Outside(f"http://127.0.0.1:{server.server_port}/heartbeat")
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield outside
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
