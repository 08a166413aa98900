import time
from collections.abc import Callable

from app.errors import OperatorError

LOOK_SECONDS = 0.2


def wait_until(reason: Callable[[], str | None], most_seconds: float) -> None:
    """Until there is no reason left to wait for."""
    deadline_seconds = time.monotonic() + most_seconds
    while (waiting_for := reason()) is not None:
        if time.monotonic() > deadline_seconds:
            raise OperatorError(f"The demo waited {most_seconds:.0f} s in vain.", waiting_for)
        time.sleep(LOOK_SECONDS)
