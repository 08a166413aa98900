"""The loop that every worker runs in: step, wait while there is nothing to do, back off after an expected failure.

In: a worker's step. Out: calls of it until the process stops. An unexpected error ends the loop, and the group that
supervises it (group.py) ends the process. A loop of another kind, such as the reader of a socket or of a queue, is
written by hand and says why.
"""

from collections.abc import Callable

from app.errors import DatabaseError
from app.runtime.backoff import Backoff
from app.runtime.health import Stopping

FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1.0, 30.0


def database_backoff() -> Backoff:
    """Return the backoff after errors of a database, with jitter, so that many workers do not retry together."""
    return Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS, jitter=0.5)


Step = Callable[[], bool | None]


class Loop:
    """Run a step until the process stops.

    A step returns True while there is more to do: the next one follows at once, after other greenlets had a turn.
    Otherwise the loop waits for the idle time. With `on_failure`, an expected error is handed to it as text, and the
    wait is the backoff's; without a backoff, it is the idle time.
    """

    def __init__(
        self,
        step: Step,
        idle_seconds: float | Callable[[], float],
        stopping: Stopping,
        *,
        on_failure: Callable[[str], None] | None = None,
        expected: tuple[type[Exception], ...] = (DatabaseError,),
        backoff: Backoff | None = None,
        first_seconds: float = 0.0,
    ) -> None:
        self._step = step
        self._idle_seconds = idle_seconds
        self._stopping = stopping
        self._on_failure = on_failure
        self._expected = expected
        self._backoff = backoff
        self._first_seconds = first_seconds
        self.pause_seconds = first_seconds  # before the next step
        self.failure: str | None = None  # of the latest step

    def run(self) -> None:
        """Step until the process stops. Wait for `first_seconds` before the first step."""
        self.pause_seconds = self._first_seconds
        # A wait of 0 s still lets other greenlets run, and sockets and timers be looked at.
        while not self._stopping.wait(self.pause_seconds):
            self.step()

    def step(self) -> bool:
        """Run one step and decide how long to wait after it. Return True if there is more to do at once."""
        try:
            has_more = bool(self._step())
        except self._expected as error:
            if self._on_failure is None:
                raise
            self.failure = str(error)
            self._on_failure(self.failure)
            self.pause_seconds = self._idle() if self._backoff is None else self._backoff.failed()
            return False
        self.failure = None
        if self._backoff is not None:
            self._backoff.succeeded()
        self.pause_seconds = 0.0 if has_more else self._idle()
        return has_more

    def _idle(self) -> float:
        return self._idle_seconds() if callable(self._idle_seconds) else self._idle_seconds


SLOWING_DOWN = 1.5


class IdlePace:
    """The pause between looks for rows: none while there is more, a growing one while nothing new arrives.

    It grows gently and to about a second, since rows are expected. The waits after failures are a `Backoff`'s.
    """

    def __init__(self, busy_seconds: float, idle_seconds: float) -> None:
        self._busy_seconds = busy_seconds
        self._idle_seconds = max(idle_seconds, busy_seconds)
        self.pause_seconds = 0.0

    def found(self, rows: int, *, has_more: bool = False) -> None:
        if has_more:
            self.pause_seconds = 0.0
        elif rows:
            self.pause_seconds = self._busy_seconds
        else:
            slower_seconds = max(self.pause_seconds * SLOWING_DOWN, self._busy_seconds)
            self.pause_seconds = min(slower_seconds, self._idle_seconds)
