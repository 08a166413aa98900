"""Run blocking calls in threads while other greenlets run."""

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

import gevent.threadpool

P = ParamSpec("P")
Result = TypeVar("Result")


class Offload(Protocol):
    """Runs a blocking call and returns its result."""

    def __call__(self, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result: ...


def inline(function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """Run the call in place, for programs without greenlets."""
    return function(*args, **kwargs)


def threads(count: int) -> Offload:
    """Return an Offload that uses a pool of this many threads, while other greenlets run.

    libpq releases the interpreter lock while it waits. A wait callback would do so too, but forbids COPY.
    """
    pool = gevent.threadpool.ThreadPool(count)

    def offload(function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        # gevent prints what a thread raises to standard error, even if the caller handles it: so nothing is raised
        # there.
        result, error = pool.apply(_outcome_of, (function, args, kwargs))
        try:
            if error is not None:
                raise error
            returned: Result = result
            return returned
        finally:
            del error  # its traceback refers to this frame: a cycle that only the garbage collector would find

    return offload


def _outcome_of(
    function: Callable[..., Result], args: tuple[object, ...], kwargs: dict[str, object]
) -> tuple[Result, None] | tuple[None, BaseException]:
    try:
        return function(*args, **kwargs), None
    except BaseException as error:  # noqa: BLE001 - the caller's greenlet raises it
        return None, error
