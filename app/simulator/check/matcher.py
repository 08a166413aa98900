"""Matching of changes with rows by key, and the classification of what does not match.

In: groups of changes and rows with the same key. Out: findings: lost, duplicated, altered, unexpected, or a hole that
no recorder could have filled. Equal changes are matched by number, as the database's nth counts them.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from app.simulator.check.report import Findings
from app.simulator.truth import SNAPSHOT_BIT, VALUE_SHIFT, SentAs, TruthReader

# The ticker, the milliseconds, and the fields that identify the event.
Key = tuple[Any, ...]
Loose = Callable[[Key], Key]
MostAtOnce = Callable[[Sequence[Sequence[int]]], list[int]]

# Beyond this number, missing and extra rows are counted as lost or unexpected without trying to pair them.
PAIRED = 200_000


class Missing(NamedTuple):
    """A change without a row."""

    key: Key
    ordinals: list[int]  # of all equal changes
    nth: int


class Extra(NamedTuple):
    """A row without a change."""

    key: Key
    nth: int


class Matcher:
    """Matcher of changes with recorded rows.

    Equal events are distinguished by counting: nth is how many came before, so of three a database has 0, 1 and 2.
    """

    def __init__(
        self,
        findings: Findings,
        delivered: Container[int],
        timeless: Loose,
        untimed: Iterable[Extra] = (),
        happened_ms: Callable[[Missing], int] = lambda missing: missing.key[1],
    ) -> None:
        self.findings = findings
        self.missing: list[Missing] = []
        self.extra: list[Extra] = []
        self.timeless = timeless
        # Delivered, but on no connection that was also sent the equal ones: a recorder cannot know of them.
        self.indistinct: list[int] = []
        self._delivered = delivered
        self._happened_ms = happened_ms
        self._untimed: dict[Key, list[Extra]] = defaultdict(list)
        for row in untimed:
            self.findings.found += 1
            self._untimed[timeless(row.key)].append(row)

    def group(self, expected: dict[Key, list[int]], found: dict[Key, list[int]]) -> None:
        """Compare a stretch of time: the ordinals of equal changes, and the recorded nths, by key."""
        for key, ordinals in expected.items():
            nths = found.pop(key, [])
            self.findings.expected += len(ordinals)
            self.findings.found += len(nths)
            self._compare(key, ordinals, nths)
        for key, nths in found.items():
            self.findings.found += len(nths)
            for nth in nths:
                self._keep_extra(Extra(key, nth))

    def unmatched_timeless(self) -> set[Key]:
        """Return the keys to look for in the history before resolve(): an extra row may be a change of another time."""
        return {self.timeless(extra.key) for extra in self.extra} | set(self._untimed)

    def resolve(
        self,
        known: Container[Key],
        looks_alike: Iterable[Loose],
        most_at_once: MostAtOnce,
    ) -> None:
        """Classify everything that did not match. Call it once all groups were compared."""
        for rows in self._untimed.values():
            self.extra += rows
        for loose in looks_alike:
            self._pair(loose)
        for extra in self.extra:
            self.findings.note("duplicated" if self.timeless(extra.key) in known else "unexpected", extra)
        together = [missing for missing in self.missing if len(missing.ordinals) > 1]
        apart = [missing for missing in self.missing if len(missing.ordinals) == 1]
        for missing in apart:
            self._lose(missing, deliverable=int(missing.ordinals[0] in self._delivered))
        for missing, most in zip(together, most_at_once([missing.ordinals for missing in together]), strict=True):
            self._lose(missing, deliverable=most)

    def _compare(self, key: Key, ordinals: list[int], nths: list[int]) -> None:
        if len(ordinals) == len(nths) == 1 and nths[0] == 0:
            return
        for nth in range(len(ordinals)):
            if nth not in nths and not self._take_untimed(key, nth):
                self._keep_missing(Missing(key, ordinals, nth))
        # Without a primary key, as in files, a row may even occur twice.
        for nth, times in Counter(nths).items():
            for _ in range(times - (0 <= nth < len(ordinals))):
                self.findings.note("duplicated", Extra(key, nth))

    def _take_untimed(self, key: Key, nth: int) -> bool:
        """Use up an untimed row of this key and nth. Return False if there is none."""
        timeless = self.timeless(key)
        for row in self._untimed.get(timeless, ()):
            if row.nth == nth:
                self._untimed[timeless].remove(row)
                return True
        return False

    def _keep_missing(self, missing: Missing) -> None:
        if len(self.missing) < PAIRED or len(missing.ordinals) > 1:
            self.missing.append(missing)
        else:
            self._lose(missing, deliverable=int(missing.ordinals[0] in self._delivered))

    def _keep_extra(self, extra: Extra) -> None:
        if len(self.extra) < PAIRED:
            self.extra.append(extra)
        else:
            self.findings.note("unexpected", extra)

    def _pair(self, loose: Loose) -> None:
        """Pair missing events with unexpected rows about the same subject: each pair is one altered event."""
        alike: dict[Key, list[Missing]] = defaultdict(list)
        for missing in self.missing:
            alike[loose(missing.key)].append(missing)
        unpaired: list[Extra] = []
        paired: set[int] = set()
        for extra in self.extra:
            if candidates := alike.get(loose(extra.key)):
                missing = candidates.pop(0)
                paired.add(id(missing))
                self.findings.note("altered", {"expected": missing.key, "found": extra.key})
            else:
                unpaired.append(extra)
        self.extra = unpaired
        self.missing = [missing for missing in self.missing if id(missing) not in paired]

    def _lose(self, missing: Missing, deliverable: int) -> None:
        """Count the change as lost if a connection was sent enough equal ones to include it, and as a hole if not."""
        if missing.nth < deliverable:
            self.findings.note("lost", missing)
        else:
            self.findings.hole(missing.key[0], self._happened_ms(missing))
            if len(missing.ordinals) > 1:
                self.indistinct.append(missing.ordinals[missing.nth])


KIND_MASK = (1 << VALUE_SHIFT) - 1


class Delivered:
    """The changes that were sent whole, on any connection."""

    def __init__(self, reader: TruthReader) -> None:
        self._reader = reader
        self._flags = bytearray()
        self.earliest_snapshots: dict[int, int] = {}  # by market, the smallest clock of the snapshots sent whole
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
        """Count these changes as not delivered from now on."""
        for ordinal in ordinals:
            if ordinal < len(self._flags):
                self._flags[ordinal] = 0

    def most_at_once(self, groups: Sequence[Sequence[int]]) -> list[int]:
        """Return how many of each group the best connection was sent.

        A recorder that received equal changes on different connections cannot distinguish them. Groups are disjoint or
        equal.
        """
        group_of = {ordinal: group[0] for group in groups for ordinal in group}
        most: Counter[int] = Counter()
        for connection in self._reader.connections() if groups else ():
            seen = {ordinal for ordinal in self._whole(connection) if ordinal in group_of}
            most |= Counter(group_of[ordinal] for ordinal in seen)
        return [most[group[0]] for group in groups]

    def _note_snapshot(self, word: int, clock: int) -> None:
        if word & KIND_MASK & ~SNAPSHOT_BIT == SentAs.WHOLE:
            market = word >> VALUE_SHIFT
            self.earliest_snapshots[market] = min(clock, self.earliest_snapshots.get(market, clock))

    def _whole(self, connection: str) -> Iterator[int]:
        """Yield the ordinals sent whole on a connection, and note its snapshots."""
        for block in self._reader.sent(connection):
            words = iter(block)
            for word in words:
                if word & SNAPSHOT_BIT:
                    self._note_snapshot(word, next(words))
                elif word & KIND_MASK == SentAs.WHOLE:
                    yield word >> VALUE_SHIFT
