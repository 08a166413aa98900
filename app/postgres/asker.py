from collections.abc import Callable
from typing import TypeVar

from app.offload import Offload
from app.postgres.connection import Connection, connected
from app.postgres.dsn import Dsn

Answer = TypeVar("Answer")


class Asker:
    """Asks a database now and then, each time over a connection of its own: whatever became of the last does not
    matter."""

    def __init__(self, dsn: Dsn, application: str, offload: Offload) -> None:
        self._dsn = dsn
        self._application = application
        self._offload = offload

    def __call__(self, question: Callable[[Connection], Answer]) -> Answer:
        return self._offload(self._ask, question)

    def _ask(self, question: Callable[[Connection], Answer]) -> Answer:
        with connected(self._dsn, self._application) as connection:
            return question(connection)
