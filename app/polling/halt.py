from collections.abc import Callable

from app import logs
from app.kalshi.rest_errors import AccessDeniedError

log = logs.get(__name__)


class Halt:
    """A component stops when the exchange refuses its key: only the operator can help. The process lives on."""

    def __init__(self, component: str, on_halted: Callable[[str], None]) -> None:
        self._component = component
        self._on_halted = on_halted
        self.reason: str | None = None

    def __call__(self, error: AccessDeniedError) -> None:
        if self.reason is None:
            self.reason = str(error)
            log.error("halted", component=self._component, reason=self.reason)
            self._on_halted(self._component)
