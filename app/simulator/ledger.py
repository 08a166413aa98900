from typing import Protocol

from app.simulator.changes import Change


class Ledger(Protocol):
    """Is told what each connection was sent, at the moment its last byte has been handed to the kernel."""

    def sent(self, connection: str, ordinal: int, what: str) -> None: ...

    def snapshot(self, connection: str, market: int, clock: int, what: str) -> None: ...


class NoLedger:
    """For the blast, where nothing is recorded but counts."""

    def __init__(self) -> None:
        self._changes = 0

    def history(self, _change: Change) -> int:
        self._changes += 1
        return self._changes - 1

    def sent(self, connection: str, ordinal: int, what: str) -> None: ...

    def snapshot(self, connection: str, market: int, clock: int, what: str) -> None: ...
