from random import Random

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 300.0
HEALTHY_SECONDS = 60.0


class Redial:
    """When to open a socket again: a random part of a limit that doubles, until one lasts for a minute."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._limit_seconds = FIRST_SECONDS
        self._opened_seconds: float | None = None

    def opened(self, now_seconds: float) -> None:
        self._opened_seconds = now_seconds

    def reset(self) -> None:
        self._limit_seconds = FIRST_SECONDS

    def delay_seconds(self, now_seconds: float) -> float:
        """After a socket that ended."""
        opened_seconds, self._opened_seconds = self._opened_seconds, None
        if opened_seconds is not None and now_seconds - opened_seconds >= HEALTHY_SECONDS:
            self._limit_seconds = FIRST_SECONDS
        limit_seconds = self._limit_seconds
        self._limit_seconds = min(2 * limit_seconds, LONGEST_SECONDS)
        return self._random.uniform(0, limit_seconds)
