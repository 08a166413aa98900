import heapq
from collections.abc import Iterable, Iterator
from itertools import islice
from random import Random

SESSION_MARKETS = 500_000  # what the exchange grants a socket
# Of markets that come together: one command costs less than many, and ten sockets share the burst of one event.
LARGEST_BLOCK = 100
BLOCKS = 10


class Placement:
    """Which connection listens to which market: the least loaded of those that can be counted on.

    Each gatherer has an order of its own, by its name: markets that share a socket of one of them do not share one of
    another's, so that what a buffer at the exchange loses of one, the others have.
    """

    def __init__(self, conns: Iterable[int], name: str = "", capacity: int = SESSION_MARKETS) -> None:
        self._random = Random(name)  # noqa: S311 - no secret
        order = list(conns)
        self._random.shuffle(order)
        self._order = {conn: place for place, conn in enumerate(order)}
        self._home: dict[str, int] = {}
        self._loads = dict.fromkeys(order, 0)
        self._capacity = capacity
        self._room = dict.fromkeys(self._loads, capacity)
        self._usable = set(self._loads)
        self._homeless: dict[str, None] = {}

    def __len__(self) -> int:
        """Markets that are wanted."""
        return len(self._home) + len(self._homeless)

    @property
    def homeless(self) -> int:
        """Markets that no connection has room for."""
        return len(self._homeless)

    def home_of(self, ticker: str) -> int | None:
        return self._home.get(ticker)

    def place(self, tickers: Iterable[str]) -> dict[int, list[str]]:
        """Where those of them go that have no place yet."""
        new = [ticker for ticker in dict.fromkeys(tickers) if ticker not in self._home]
        self._random.shuffle(new)
        heap = [
            (self._loads[conn], self._order[conn], conn)
            for conn in self._usable
            if self._loads[conn] < self._room[conn]
        ]
        heapq.heapify(heap)
        placed: dict[int, list[str]] = {}
        size = min(max(len(new) // BLOCKS, 1), LARGEST_BLOCK)
        left = iter(new)
        while heap:
            load, order, conn = heapq.heappop(heap)
            block = list(islice(left, min(size, self._room[conn] - load)))
            if not block:
                break
            placed.setdefault(conn, []).extend(block)
            if load + len(block) < self._room[conn]:
                heapq.heappush(heap, (load + len(block), order, conn))
        self._settle(placed, left)
        return placed

    def place_homeless(self) -> dict[int, list[str]]:
        room = sum(self._room[conn] - self._loads[conn] for conn in self._usable) if self._homeless else 0
        return self.place(list(islice(self._homeless, room))) if room else {}

    def remove(self, ticker: str) -> int | None:
        """Where it was."""
        self._homeless.pop(ticker, None)
        conn = self._home.pop(ticker, None)
        if conn is not None:
            self._loads[conn] -= 1
        return conn

    def count_on(self, conn: int) -> None:
        self._usable.add(conn)

    def give_up(self, conn: int) -> None:
        """Nothing is placed there any more; what is there stays until it is removed."""
        self._usable.discard(conn)

    def is_full(self, conn: int) -> None:
        """The exchange has room for no more than what is there, after what it turned away was removed."""
        self._room[conn] = self._loads[conn]

    def has_room(self, conn: int) -> None:
        """As far as is known: it may be tried."""
        self._room[conn] = self._capacity

    def load(self, conn: int) -> int:
        return self._loads[conn]

    def _settle(self, placed: dict[int, list[str]], left: Iterator[str]) -> None:
        for conn, tickers in placed.items():
            self._loads[conn] += len(tickers)
            for ticker in tickers:
                self._home[ticker] = conn
                self._homeless.pop(ticker, None)
        self._homeless.update(dict.fromkeys(left))
