"""systemd's side: a datagram socket that hears what a process notifies."""

import socket
import threading
import uuid
from contextlib import contextmanager

from tests.processes import wait_until


class Listener:
    def __init__(self, address):
        self.heard = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def waits_for(self, line):
        return wait_until(lambda: line in self.heard, what=f"{line} among {self.heard}")

    def times_heard(self, line):
        """Among all that was said until now."""
        self._say(mark := f"heard {uuid.uuid4().hex}")
        self.waits_for(mark)
        return self.heard.count(line)

    def close(self):
        self._say("")
        self._thread.join()
        self._socket.close()

    def _say(self, line):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(line.encode(), self._socket.getsockname())

    def _listen(self):
        while line := self._socket.recv(4096):
            self.heard.append(line.decode())


@contextmanager
def listening(address):
    listener = Listener(address)
    try:
        yield listener
    finally:
        listener.close()
