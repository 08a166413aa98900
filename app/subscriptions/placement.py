"""Assign markets to the connections of a gatherer, evenly and in blocks."""

import heapq
from collections.abc import Iterable, Iterator
from itertools import islice
from random import Random

SESSION_MARKETS = 500_000  # granted per socket by the exchange
# The largest number of new markets assigned together: one command costs less than many. Ten sockets share the burst of
# one event.
LARGEST_BLOCK = 100
BLOCKS = 10


class Placement:
    """Assigns each market to the least loaded of the usable connections.

    Each gatherer shuffles by its name, so that markets that share a socket at one gatherer do not share one at another:
    what a buffer at the exchange loses for one gatherer, the others have.
    """

    def __init__(self, conns: Iterable[int], name: str = "", capacity: int = SESSION_MARKETS) -> None:
        self._random = Random(name)  # noqa: S311 - no secret
        order = list(conns)
        self._random.shuffle(order)
        self._order = {conn: place for place, conn in enumerate(order)}
        self._conn_of: dict[str, int] = {}
        self._loads = dict.fromkeys(order, 0)
        self._capacity = capacity
        self._room = dict.fromkeys(self._loads, capacity)
        self._usable = set(self._loads)
        self._unplaced: dict[str, None] = {}

    def __len__(self) -> int:
        """Return the number of wanted markets."""
        return len(self._conn_of) + len(self._unplaced)

    @property
    def unplaced(self) -> int:
        """Return the number of markets that no connection has room for."""
        return len(self._unplaced)

    def connection_of(self, ticker: str) -> int | None:
        return self._conn_of.get(ticker)

    def place(self, tickers: Iterable[str]) -> dict[int, list[str]]:
        """Assign the markets that have no connection yet. Return the new ones by connection."""
        new = [ticker for ticker in dict.fromkeys(tickers) if ticker not in self._conn_of]
        # Shuffled, so that each gatherer forms other blocks.
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
        self._note_placed(placed, left)
        return placed

    def place_unplaced(self) -> dict[int, list[str]]:
        room = sum(self._room[conn] - self._loads[conn] for conn in self._usable) if self._unplaced else 0
        return self.place(list(islice(self._unplaced, room))) if room else {}

    def remove(self, ticker: str) -> int | None:
        """Remove the market. Return the connection that it was assigned to, or None."""
        self._unplaced.pop(ticker, None)
        conn = self._conn_of.pop(ticker, None)
        if conn is not None:
            self._loads[conn] -= 1
        return conn

    def mark_usable(self, conn: int) -> None:
        self._usable.add(conn)

    def mark_unusable(self, conn: int) -> None:
        """Assign nothing more to this connection; its markets stay until they are removed."""
        self._usable.discard(conn)

    def mark_full(self, conn: int) -> None:
        """Limit the connection to its current load, after the markets that the exchange rejected were removed."""
        self._room[conn] = self._loads[conn]

    def mark_not_full(self, conn: int) -> None:
        """Allow new markets on the connection again, though the exchange may still reject them."""
        self._room[conn] = self._capacity

    def load(self, conn: int) -> int:
        return self._loads[conn]

    def _note_placed(self, placed: dict[int, list[str]], left: Iterator[str]) -> None:
        for conn, tickers in placed.items():
            self._loads[conn] += len(tickers)
            for ticker in tickers:
                self._conn_of[ticker] = conn
                self._unplaced.pop(ticker, None)
        self._unplaced.update(dict.fromkeys(left))
