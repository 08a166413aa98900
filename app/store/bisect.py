from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def store_what_fits(
    items: Sequence[Item],
    store: Callable[[Sequence[Item]], int],
    reject: Callable[[Item, Exception], None],
    unfit: tuple[type[Exception], ...],
) -> int:
    """Stores all items, together if they fit, else in halves, so that a bad one is rejected alone. `store`'s sum."""
    if not items:
        return 0
    try:
        return store(items)
    except unfit as error:
        if len(items) == 1:
            reject(items[0], error)
            return 0
    middle = len(items) // 2
    return store_what_fits(items[:middle], store, reject, unfit) + store_what_fits(items[middle:], store, reject, unfit)
