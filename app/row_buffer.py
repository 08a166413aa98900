import threading
from collections import deque

from app.clock import now_us
from app.store.tables import Row

NEVER = 1 << 62


class RowBuffer:
    """Rows of one table in the order in which they came, from when they are put until they are stored.

    It holds its capacity, and what each producer came with when it was full. Rows stay while they are being written;
    positions count all rows that ever came, so that what was dropped meanwhile is not dropped twice.
    """

    def __init__(self, capacity_rows: int) -> None:
        self.capacity_rows = capacity_rows
        self._rows: list[Row] = []
        self._start = 0  # position of the first row
        self._arrivals: deque[tuple[int, int]] = deque()  # bounded by the rows: up to where, since when
        self._is_bounded = True
        self._wanted = NEVER  # rows that the taker waits for
        lock = threading.Lock()
        self._filled = threading.Condition(lock)
        self._room = threading.Condition(lock)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def oldest_us(self) -> int | None:
        """Since when the oldest row waits."""
        with self._filled:
            return self._arrivals[0][1] if self._arrivals else None

    def put(self, rows: list[Row], since_us: int | None = None) -> None:
        """Takes the rows at once; then waits while there are more than fit. They may have waited elsewhere before."""
        if not rows:
            return
        with self._filled:
            self._rows += rows
            self._arrive(min(since_us or NEVER, now_us()))
            if len(self._rows) >= self._wanted:
                self._wanted = NEVER
                self._filled.notify()
            while self._is_bounded and len(self._rows) > self.capacity_rows:
                self._room.wait()

    def release(self) -> None:
        """Nobody waits for room any more: those who put rows are about to end, and bring no more than they have."""
        with self._filled:
            self._is_bounded = False
            self._room.notify_all()

    def wait_for_rows(self, rows: int, batch_seconds: float, idle_seconds: float) -> bool:
        """Until there are so many rows, or the oldest has waited for a batch's time. False: none came at all."""
        with self._filled:
            if not self._rows:
                self._wait(1, idle_seconds)
            if not self._rows:
                return False
            if len(self._rows) < rows:
                waited_seconds = (now_us() - self._arrivals[0][1]) / 1_000_000
                # A clock that was set back must not make it longer.
                self._wait(rows, min(batch_seconds, batch_seconds - waited_seconds))
            return True

    def first(self, max_rows: int) -> tuple[list[Row], int]:
        """The oldest rows, which stay, and the position after them."""
        with self._filled:
            rows = self._rows[:max_rows]
            return rows, self._start + len(rows)

    def drop_through(self, position: int) -> int:
        """Forgets the rows before this position, and returns how many were left to forget."""
        with self._filled:
            dropped = max(0, position - self._start)
            del self._rows[:dropped]
            self._start += dropped
            while self._arrivals and self._arrivals[0][0] <= self._start:
                self._arrivals.popleft()
            if len(self._rows) <= self.capacity_rows:
                self._room.notify_all()
            return dropped

    def _arrive(self, since_us: int) -> None:
        """Those that came later and wait for longer stand for those before them: so the first is always the oldest."""
        while self._arrivals and self._arrivals[-1][1] >= since_us:
            self._arrivals.pop()
        self._arrivals.append((self._start + len(self._rows), since_us))

    def _wait(self, rows: int, seconds: float) -> None:
        if seconds > 0:
            self._wanted = rows
            self._filled.wait(seconds)
            self._wanted = NEVER
