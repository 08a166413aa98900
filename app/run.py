from app.store.tables import Row

MARGIN_US = 1_000_000


class Run:
    """One life of the gatherer, and up to when it is sure to have on disk whatever it received.

    Its id is its start. What was said once is never taken back.
    """

    def __init__(self, run_id: int, gatherer: str) -> None:
        self.run_id = run_id
        self.recorded_until_us = run_id
        self._gatherer = gatherer

    def row(self, sure_until_us: int, ended_us: int | None = None) -> Row:
        """A second is left between what was received and what is said: a frame may lie in a socket for a moment."""
        self.recorded_until_us = max(self.recorded_until_us, sure_until_us - MARGIN_US)
        return (self.run_id, self._gatherer, self.run_id, self.recorded_until_us, ended_us)
