import os
from collections.abc import Callable
from pathlib import Path


class SettlementsSince:
    """From when on nobody has asked what settled. On disk until that is asked and stored: this run may end before that,
    and the next one would look back no further than to this."""

    def __init__(
        self,
        file: Path,
        last_recorded_us: Callable[[], int | None],
        waiting_since_us: Callable[[], int | None],
    ) -> None:
        self._file = file
        self._last_recorded_us = last_recorded_us
        self._waiting_since_us = waiting_since_us

    def read_us(self) -> int | None:
        """None: nobody recorded before."""
        if self._file.exists():
            return int(self._file.read_text())
        last_us = self._last_recorded_us()
        if last_us is not None:
            self._write(last_us)
        return last_us

    def are_stored(self, put_until_us: int) -> bool:
        """All rows that were given away until then."""
        waiting_since_us = self._waiting_since_us()
        return waiting_since_us is None or waiting_since_us > put_until_us

    def settle(self) -> None:
        self._file.unlink(missing_ok=True)

    def _write(self, since_us: int) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._file.with_suffix(".new")
        with unfinished.open("w") as file:
            file.write(str(since_us))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._file)
