from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

import gevent.threadpool

P = ParamSpec("P")
Result = TypeVar("Result")


class Offload(Protocol):
    """Where a call that blocks is made."""

    def __call__(self, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result: ...


def inline(function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """Here and now: in programs without greenlets."""
    return function(*args, **kwargs)


def threads(count: int) -> Offload:
    """In one of so many threads, while other greenlets run. libpq lets go of the interpreter while it waits; a wait
    callback would do so too, but forbids COPY."""
    pool = gevent.threadpool.ThreadPool(count)

    def offload(function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        result: Result = pool.apply(function, args, kwargs)
        return result

    return offload
