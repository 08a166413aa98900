"""TLS in front of a PostgreSQL server that was built without, as no wheel's is built with it: nobody gets in otherwise."""

import contextlib
import selectors
import socket
import ssl
import threading

TLS_WANTED = (8).to_bytes(4, "big") + (80_877_103).to_bytes(4, "big")
GSS_WANTED = (8).to_bytes(4, "big") + (80_877_104).to_bytes(4, "big")
BYTES_AT_ONCE = 65_536


def _speak(client, context, path):
    """Copy between both until one of them has ended."""
    asked = client.recv(8, socket.MSG_WAITALL)
    if asked == GSS_WANTED:
        client.sendall(b"N")
        asked = client.recv(8, socket.MSG_WAITALL)
    if asked != TLS_WANTED:
        return
    client.sendall(b"S")
    with (
        context.wrap_socket(client, server_side=True) as encrypted,
        socket.socket(socket.AF_UNIX) as server,
        selectors.DefaultSelector() as both,
    ):
        server.connect(path)
        both.register(encrypted, selectors.EVENT_READ, server)
        both.register(server, selectors.EVENT_READ, encrypted)
        while True:
            for key, _ in both.select():
                received = key.fileobj.recv(BYTES_AT_ONCE)
                # What TLS has decrypted already, no selector sees.
                while isinstance(key.fileobj, ssl.SSLSocket) and key.fileobj.pending():
                    received += key.fileobj.recv(key.fileobj.pending())
                if not received:
                    return
                key.data.sendall(received)


def _serve(client, context, path):
    # Whoever does not trust the certificate, or ends in the middle, has seen what there was to see.
    with client, contextlib.suppress(OSError):
        _speak(client, context, path)


@contextlib.contextmanager
def tls_in_front(listening, certificate, path):
    """Whoever connects to the listening socket reaches the server of the Unix socket at the path, by TLS alone."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)

    def accept():
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=_serve, args=(client, context, path), daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        accepting.join()
