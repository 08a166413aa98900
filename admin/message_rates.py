import time
from collections.abc import Callable


class MessageRates:
    """Of counters that are looked at now and then: what they grew by in a second since the last look."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, tuple[float, int]] = {}

    def of(self, name: str, total: int) -> float | None:
        """None: it is the first look, or counting began anew."""
        now = self._clock()
        when, before = self._last.get(name, (now, total))
        self._last[name] = (now, total)
        return (total - before) / (now - when) if now > when and total >= before else None
