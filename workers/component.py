from collections.abc import Callable

from app import logs
from app.kalshi.rest_errors import AccessDeniedError, RestError
from app.metrics.process import COMPONENT_HALTED
from app.metrics.registry import FAILED_ROUNDS
from app.stopping import StoppedError

log = logs.get(__name__)


class Component:
    """A part of the process that ends when we stop, and halts when the exchange refuses the key: then the rest of the
    process lives on, and the operator is told."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.halted_because: str | None = None
        COMPONENT_HALTED.labels(name).set(0)

    def run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except StoppedError:
            log.info("stopped", component=self.name)
        except AccessDeniedError as error:
            self.halted_because = str(error)
            COMPONENT_HALTED.labels(self.name).set(1)
            log.error("halted", component=self.name, error=str(error))  # noqa: TRY400

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
        return True
