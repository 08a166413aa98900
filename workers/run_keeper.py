from collections.abc import Callable, Sequence

from app import logs
from app.clock import now_us, steady_seconds
from app.recorder import Recorder
from app.run import Run
from app.stopping import Stopping
from app.store.journal_tables import RUNS

log = logs.get(__name__)

INTERVAL_SECONDS = 1.0
LATE_SECONDS = 1.0


class RunKeeper:
    """Writes every second up to when everything is recorded, as far as frames in hand and rows that wait allow."""

    def __init__(
        self,
        run: Run,
        recorder: Recorder,
        oldest_in_hand_us: Sequence[Callable[[], int | None]],
        stopping: Stopping,
        clock: Callable[[], float] = steady_seconds,
    ) -> None:
        self._run = run
        self._recorder = recorder
        self._oldest_us = (*oldest_in_hand_us, recorder.waiting_since_us)
        self._stopping = stopping
        self._clock = clock
        self._stopped_us: int | None = None
        self._asleep_since = clock()

    def run(self) -> None:
        self._keep()
        self._asleep_since = self._clock()
        while not self._stopping.wait(INTERVAL_SECONDS):
            self.step()
            self._asleep_since = self._clock()
        self._stopped_us = now_us()

    def step(self) -> None:
        late_seconds = self._clock() - self._asleep_since - INTERVAL_SECONDS
        if late_seconds > LATE_SECONDS:
            # Whoever reads the sockets was held up as well: what came meanwhile still lies in them.
            log.warning("the process was held up", seconds=round(late_seconds, 1))
            return
        self._keep()

    def end(self) -> None:
        """The last word, when nobody receives any more and everything is drained."""
        self._keep(self._stopped_us, ended_us=now_us())

    def _keep(self, until_us: int | None = None, ended_us: int | None = None) -> None:
        known_us = (oldest() for oldest in self._oldest_us)
        now = until_us or now_us()
        sure_until_us = min((time_us for time_us in known_us if time_us is not None), default=now)
        self._recorder.put(RUNS, [self._run.row(min(now, sure_until_us), ended_us)])
