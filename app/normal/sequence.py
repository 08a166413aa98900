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


class FirstNumbers:
    """What subscriptions of this exchange begin with. The answer to a command may take the first number without showing
    it: as long as none was seen to begin with 1, it may be 2."""

    def __init__(self) -> None:
        self.latest = 2

    def see(self, seq: int) -> None:
        self.latest = min(self.latest, seq)


class SequenceCheck:
    """Follows the numbers of each subscription of a connection. Everything that carries one counts, of every type.

    From the first on, where a subscription is heard from its acknowledgement on. A book is heard from its own snapshot
    on, and what is lost before the first message came before any of them.
    """

    def __init__(self, first_numbers: FirstNumbers | None = None, *, from_the_first: bool = False) -> None:
        self._expected: dict[int, int] = {}
        self._first_numbers = first_numbers or FirstNumbers()
        self._from_the_first = from_the_first

    def see(self, sid: int, seq: int) -> SequenceGap | None:
        expected = self._expected.get(sid)
        self._expected[sid] = seq + 1
        if seq == expected:
            return None
        if expected is None:
            self._first_numbers.see(seq)
            expected = self._first_numbers.latest
            return SequenceGap(sid, expected, seq) if self._from_the_first and seq > expected else None
        return SequenceGap(sid, expected, seq)

    def resume(self, gap: SequenceGap) -> None:
        """The message that showed the gap was one that had been seen before."""
        self._expected[gap.sid] = gap.expected

    def forget(self, sid: int) -> None:
        self._expected.pop(sid, None)
