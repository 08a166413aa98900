import gevent.queue

from app.stopping import Stopping

FRAMES = 10_000
LOOK_UP_SECONDS = 1


class LifecycleFrames:
    """What the lifecycle sockets bring, on its way to the registry. A registry that is busy is waited for."""

    def __init__(self, stopping: Stopping) -> None:
        self.queue: gevent.queue.Queue = gevent.queue.Queue(FRAMES)
        self._stopping = stopping

    def put(self, frame: bytes) -> None:
        # Whoever takes them may have stopped already; the next start reads every market anew.
        while not self._stopping.is_set():
            try:
                self.queue.put(frame, timeout=LOOK_UP_SECONDS)
            except gevent.queue.Full:
                continue
            return
