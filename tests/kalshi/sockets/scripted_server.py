"""A WebSocket server whose one connection does what a script says, right or wrong."""

import base64
import hashlib
import socket
import ssl
import threading
from contextlib import contextmanager

import trustme
from wsproto.frame_protocol import FrameProtocol, ParseFailed

from app.kalshi.websocket import connect

DEADLINE_SECONDS = 120
ACCEPT_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Authority:
    """A throwaway certificate authority and what it vouches for."""

    def __init__(self):
        self._authority = trustme.CA()

    def server_context(self, host="localhost"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(host).configure_cert(context)
        return context

    def client_context(self):
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        return context

    def write_certificate(self, path):
        self._authority.cert_pem.write_to_path(path)


class Peer:
    """The server's end of an upgraded connection. Whatever the client sends is judged by wsproto."""

    def __init__(self, connection, head):
        self.connection = connection
        self.request_line, *lines = head.decode().split("\r\n")
        self.headers = dict(line.split(": ", 1) for line in lines if line)
        self._protocol = FrameProtocol(client=False, extensions=[])
        self._frames = self._read_frames()

    def send(self, stream):
        self.connection.sendall(stream)

    def next_frame(self):
        """Opcode and payload of the client's next frame; None when the connection has ended."""
        return next(self._frames, None)

    def frames_to_the_end(self):
        return list(self._frames)

    def _read_frames(self):
        while chunk := self.connection.recv(1 << 16):
            self._protocol.receive_bytes(chunk)
            yield from ((int(frame.opcode), frame.payload) for frame in self._protocol.received_frames())


def accept(connection, more_headers="", ending="\r\n"):
    """Answers the upgrade; the request's head."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    key = head.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
    proof = base64.b64encode(hashlib.sha1(key + ACCEPT_MAGIC, usedforsecurity=False).digest()).decode()
    answer = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {proof}\r\n"
    connection.sendall(f"{answer}{more_headers}{ending}".encode("latin-1"))
    return head


@contextmanager
def listening(handle, context=None):
    """The address of a server that hands its one connection to this function, whose errors are the test's."""
    failures = []

    def serve():
        try:
            connection, _ = listener.accept()
            connection.settimeout(DEADLINE_SECONDS)
            with connection if context is None else context.wrap_socket(connection, server_side=True) as connection:
                handle(connection)
        except (OSError, AssertionError, ParseFailed) as error:
            failures.append(error)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE_SECONDS)
        server = threading.Thread(target=serve)
        server.start()
        try:
            yield f"{'wss' if context else 'ws'}://localhost:{listener.getsockname()[1]}/trade-api/ws/v2"
        finally:
            server.join(DEADLINE_SECONDS)
    assert not server.is_alive(), "the server's script hangs"
    assert failures == []


@contextmanager
def connected(script, authority=None, timeout_seconds=DEADLINE_SECONDS, **options):
    """A Socket that is connected to a server with this script: a function of its Peer."""
    context = authority and authority.server_context()
    with listening(lambda connection: script(Peer(connection, accept(connection))), context) as url:
        client_context = authority and authority.client_context()
        with connect(url, {"KALSHI-ACCESS-KEY": "key"}, timeout_seconds, client_context, **options) as opened:
            yield opened
