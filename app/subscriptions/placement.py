import heapq
from collections.abc import Iterable

SESSION_MARKETS = 500_000  # what the exchange grants a socket


class Placement:
    """Which connection listens to which market: the least loaded of those that can be counted on."""

    def __init__(self, conns: Iterable[int], capacity: int = SESSION_MARKETS) -> None:
        self._home: dict[str, int] = {}
        self._loads = dict.fromkeys(conns, 0)
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
        heap = [(self._loads[conn], conn) for conn in self._usable if self._loads[conn] < self._room[conn]]
        heapq.heapify(heap)
        placed: dict[int, list[str]] = {}
        for ticker in tickers:
            if ticker in self._home:
                continue
            if not heap:
                self._homeless[ticker] = None
                continue
            self._homeless.pop(ticker, None)
            load, conn = heap[0]
            self._home[ticker] = conn
            placed.setdefault(conn, []).append(ticker)
            if load + 1 < self._room[conn]:
                heapq.heapreplace(heap, (load + 1, conn))
            else:
                heapq.heappop(heap)
        for conn, added in placed.items():
            self._loads[conn] += len(added)
        return placed

    def place_homeless(self) -> dict[int, list[str]]:
        return self.place(list(self._homeless)) if self._homeless else {}

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

    def load(self, conn: int) -> int:
        return self._loads[conn]
