from collections.abc import Iterable
from typing import TextIO

CURSOR_UP = "\x1b[{}A"
CLEAR_BELOW = "\x1b[J"


class Screen:
    """On a terminal the figures are written over the last ones; elsewhere only what happens is told."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines = 0
        self.is_live = stream.isatty()

    def tell(self, line: str) -> None:
        self._wipe()
        self._write([line])

    def show(self, lines: Iterable[str]) -> None:
        if self.is_live:
            figures = list(lines)
            self._wipe()
            self._write(figures)
            self._lines = len(figures)

    def _wipe(self) -> None:
        if self._lines:
            self._stream.write(CURSOR_UP.format(self._lines) + CLEAR_BELOW)
            self._lines = 0

    def _write(self, lines: Iterable[str]) -> None:
        self._stream.write("".join(f"{line}\n" for line in lines))
        self._stream.flush()
