from typing import NamedTuple


class SequenceGap(NamedTuple):
    """Something of this subscription was lost; nothing says of which market."""

    sid: int
    expected: int
    received: int

    @property
    def missing(self) -> int:
        """How many messages; negative when the numbers went back."""
        return self.received - self.expected


class SequenceCheck:
    """Follows the numbers of each subscription of a connection. Everything that carries one counts, of every type."""

    def __init__(self) -> None:
        self._expected: dict[int, int] = {}

    def see(self, sid: int, seq: int) -> SequenceGap | None:
        """The first number of a subscription is taken as it is: only the next can tell of a loss."""
        expected = self._expected.get(sid, seq)
        self._expected[sid] = seq + 1
        return None if seq == expected else SequenceGap(sid, expected, seq)

    def forget(self, sid: int) -> None:
        self._expected.pop(sid, None)
