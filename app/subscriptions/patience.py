from random import Random

SECOND_US = 1_000_000


class Backoff:
    """Exponential backoff after refusals: twice as long after each, until something is granted.

    With `random` it is shortened by up to a half: processes that were refused together do not come back together.
    """

    def __init__(
        self, first_us: int = SECOND_US // 10, longest_us: int = 60 * SECOND_US, random: Random | None = None
    ) -> None:
        self._first_us = first_us
        self._longest_us = longest_us
        self._next_us = first_us
        self._random = random
        self.until_us = 0

    def refused(self, now_us: int) -> None:
        # Refusals of one moment count once: several commands may have been under way.
        if now_us >= self.until_us:
            share = 1.0 if self._random is None else self._random.uniform(0.5, 1)
            self.until_us = now_us + int(self._next_us * share)
            self._next_us = min(2 * self._next_us, self._longest_us)

    def granted(self) -> None:
        self._next_us = self._first_us

    def lasts(self, now_us: int) -> bool:
        return now_us < self.until_us
