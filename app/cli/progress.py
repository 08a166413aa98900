"""How long work is shown on a terminal: a bar, and above it what is logged meanwhile."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO, TypeVar

import click

Item = TypeVar("Item")

CLEAR_LINE = "\r\x1b[K"


@contextmanager
def progress(items: Sequence[Item], label: str) -> Iterator[Iterator[Item]]:
    """Show how many of the items are taken already. Where nobody looks, logs stay as they are."""
    if not sys.stderr.isatty():
        yield iter(items)
        return
    with _logs_above_the_bar(sys.stderr), click.progressbar(items, label=label, file=sys.stderr) as bar:
        yield iter(bar)


@contextmanager
def _logs_above_the_bar(terminal: TextIO) -> Iterator[None]:
    """Show warnings alone, each on a line of its own: one line an hour would push the bar off the screen."""
    root = logging.getLogger()
    streams = [handler for handler in root.handlers if isinstance(handler, logging.StreamHandler)]
    before = root.level, [handler.stream for handler in streams]
    root.setLevel(max(root.level, logging.WARNING))
    for handler in streams:
        handler.setStream(_Above(terminal))
    try:
        yield
    finally:
        root.setLevel(before[0])
        for handler, stream in zip(streams, before[1], strict=True):
            handler.setStream(stream)


class _Above:
    """Takes the place of the bar, which is drawn again when it moves on."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self.flush = terminal.flush

    def write(self, text: str) -> int:
        return self._terminal.write(f"{CLEAR_LINE}{text}")
