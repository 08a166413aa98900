from typing import NamedTuple

# The numbers of a subscription begin at 1. The answer to the command may have taken it without showing it.
FIRST, LATEST_FIRST = 1, 2


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
    """Follows the numbers of each subscription of a connection. Everything that carries one counts, of every type.

    From the first on, where a subscription is heard from its acknowledgement on. A book is heard from its own snapshot
    on, and what is lost before the first message came before any of them.
    """

    def __init__(self, *, from_the_first: bool = False) -> None:
        self._expected: dict[int, int] = {}
        self._from_the_first = from_the_first

    def see(self, sid: int, seq: int) -> SequenceGap | None:
        expected = self._expected.get(sid)
        self._expected[sid] = seq + 1
        if seq == expected:
            return None
        if expected is None:
            is_lost = self._from_the_first and seq > LATEST_FIRST
            return SequenceGap(sid, FIRST, seq) if is_lost else None
        return SequenceGap(sid, expected, seq)

    def resume(self, gap: SequenceGap) -> None:
        """The message that showed the gap was one that had been seen before."""
        self._expected[gap.sid] = gap.expected

    def forget(self, sid: int) -> None:
        self._expected.pop(sid, None)
