from typing import Protocol


class Ledger(Protocol):
    """Is told what each connection was sent, at the moment its last byte has been handed to the kernel.

    What is not told was not sent whole. What is told was received unless the connection broke afterwards. The frames
    of a blast are counted, and not told.
    """

    def sent(self, connection: str, ordinal: int, what: str) -> None: ...

    def snapshot(self, connection: str, market: int, clock: int, what: str) -> None: ...
