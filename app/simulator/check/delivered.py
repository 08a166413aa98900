from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from app.simulator.truth.format import SNAPSHOT_BIT, VALUE_SHIFT, What
from app.simulator.truth.reader import TruthReader

KIND_MASK = (1 << VALUE_SHIFT) - 1


class Delivered:
    """Which changes were sent whole, on any connection."""

    def __init__(self, reader: TruthReader) -> None:
        self._reader = reader
        self._flags = bytearray()
        self.earliest_snapshots: dict[int, int] = {}  # by market, the smallest clock of those sent whole
        for connection in reader.connections():
            for ordinal in self._whole(connection):
                if ordinal >= len(self._flags):
                    self._flags.extend(bytes(ordinal + 1 - len(self._flags) + len(self._flags) // 4))
                self._flags[ordinal] = 1

    def __bool__(self) -> bool:
        return any(self._flags)

    def __contains__(self, ordinal: object) -> bool:
        return isinstance(ordinal, int) and ordinal < len(self._flags) and self._flags[ordinal] == 1

    def withdraw(self, ordinals: Iterable[int]) -> None:
        for ordinal in ordinals:
            if ordinal < len(self._flags):
                self._flags[ordinal] = 0

    def most_at_once(self, groups: Sequence[Sequence[int]]) -> list[int]:
        """How many of each group the best connection was sent: who saw equal changes apart cannot tell them apart.

        Groups have nothing in common, or everything.
        """
        group_of = {ordinal: group[0] for group in groups for ordinal in group}
        most: Counter[int] = Counter()
        for connection in self._reader.connections() if groups else ():
            seen = {ordinal for ordinal in self._whole(connection) if ordinal in group_of}
            most |= Counter(group_of[ordinal] for ordinal in seen)
        return [most[group[0]] for group in groups]

    def _note_snapshot(self, word: int, clock: int) -> None:
        if word & KIND_MASK & ~SNAPSHOT_BIT == What.WHOLE:
            market = word >> VALUE_SHIFT
            self.earliest_snapshots[market] = min(clock, self.earliest_snapshots.get(market, clock))

    def _whole(self, connection: str) -> Iterator[int]:
        for block in self._reader.sent(connection):
            words = iter(block)
            for word in words:
                if word & SNAPSHOT_BIT:
                    self._note_snapshot(word, next(words))
                elif word & KIND_MASK == What.WHOLE:
                    yield word >> VALUE_SHIFT
