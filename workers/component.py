from collections.abc import Callable

from app import logs
from app.kalshi.rest_errors import AccessDeniedError, RestError
from app.metrics.process import COMPONENT_HALTED
from app.metrics.registry import FAILED_ROUNDS
from app.stopping import StoppedError, Stopping

log = logs.get(__name__)

DENIED_SECONDS = 300.0


class Component:
    """A part of the process that ends when we stop. When the exchange refuses access it halts, alarms, and tries again
    every five minutes: the key may be gone, or a proxy have a bad hour. The rest of the process lives on."""

    def __init__(self, name: str, stopping: Stopping) -> None:
        self.name = name
        self.halted_because: str | None = None
        self._stopping = stopping
        COMPONENT_HALTED.labels(name).set(0)

    def why_not_ready(self) -> str | None:
        return self.halted_because and f"{self.name} halted, and tries again: {self.halted_because}"

    def run(self, work: Callable[[], None]) -> None:
        """Run work, again from its beginning when it is refused access."""
        try:
            while not self._is_done(work):
                self._stopping.wait(DENIED_SECONDS)
        except StoppedError:
            log.info("stopped", component=self.name)

    def tries(self, action: Callable[[], None]) -> bool:
        """Whether it was done. What the exchange does not answer as it should is for the next round."""
        try:
            action()
        except AccessDeniedError:
            raise
        except RestError as error:
            FAILED_ROUNDS.labels(self.name).inc()
            log.error("round failed", component=self.name, error=str(error))  # noqa: TRY400
            return False
        self.works()
        return True

    def works(self) -> None:
        """The exchange has answered."""
        if self.halted_because is not None:
            self.halted_because = None
            COMPONENT_HALTED.labels(self.name).set(0)
            log.info("no longer halted", component=self.name)

    def _is_done(self, work: Callable[[], None]) -> bool:
        if self._stopping.is_set():
            return True
        try:
            work()
        except AccessDeniedError as error:
            self.halted_because = str(error)
            COMPONENT_HALTED.labels(self.name).set(1)
            log.error("halted: the exchange refuses access", component=self.name, error=str(error))  # noqa: TRY400
            return False
        return True
