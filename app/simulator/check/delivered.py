from collections import Counter
from collections.abc import Iterator, Sequence

from app.simulator.truth.format import SNAPSHOT_BIT, VALUE_SHIFT, What
from app.simulator.truth.reader import TruthReader

KIND_MASK = (1 << VALUE_SHIFT) - 1


class Delivered:
    """Which changes were sent whole, on any connection."""

    def __init__(self, reader: TruthReader) -> None:
        self._reader = reader
        self._flags = bytearray()
        for connection in reader.connections():
            for ordinal in self._whole(connection):
                if ordinal >= len(self._flags):
                    self._flags.extend(bytes(ordinal + 1 - len(self._flags) + len(self._flags) // 4))
                self._flags[ordinal] = 1

    def __contains__(self, ordinal: object) -> bool:
        return isinstance(ordinal, int) and ordinal < len(self._flags) and self._flags[ordinal] == 1

    def most_at_once(self, groups: Sequence[Sequence[int]]) -> list[int]:
        """How many of each group the best connection was sent: who saw equal changes apart cannot tell them apart."""
        group_of = {ordinal: number for number, group in enumerate(groups) for ordinal in group}
        most = [0] * len(groups)
        for connection in self._reader.connections() if groups else ():
            seen = {ordinal for ordinal in self._whole(connection) if ordinal in group_of}
            for number, count in Counter(group_of[ordinal] for ordinal in seen).items():
                most[number] = max(most[number], count)
        return most

    def _whole(self, connection: str) -> Iterator[int]:
        for block in self._reader.sent(connection):
            words = iter(block)
            for word in words:
                if word & SNAPSHOT_BIT:
                    next(words)
                elif word & KIND_MASK == What.WHOLE:
                    yield word >> VALUE_SHIFT
