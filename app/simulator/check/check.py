"""The check of a recording: matches every change of the truth with the recorded rows.

In: the truth and a source of rows. Out: a report.
One pass reads the history and the rows second by second; further passes resolve what the first one leaves unmatched.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import lru_cache

from app.simulator.check import lifecycle_rows
from app.simulator.check.books import BOOKS, BookSample, compare_books
from app.simulator.check.matcher import Delivered, Extra, Key, Matcher
from app.simulator.check.report import BookFindings, Findings, SimReport
from app.simulator.check.tables import TABLES, RowSource, SimTable
from app.simulator.market.changes import Change, SimDelta, SimLifecycle, SimTicker, SimTrade
from app.simulator.truth import TruthReader


class RecordedRows:
    """A table's rows in order of time, taken second by second."""

    def __init__(self, source: RowSource, table: SimTable, *, cents: bool) -> None:
        self._source = source
        self._table = table
        self._cents = cents
        self._rows = source.rows(table)
        self._next = next(self._rows, None)

    def until(self, second: int) -> dict[Key, list[int]]:
        """Return the nths by key, up to and including the second."""
        found: dict[Key, list[int]] = defaultdict(list)
        end_ms = (second + 1) * 1_000
        row = self._next
        while row is not None and row[0] < end_ms:
            found[self._table.key_of_row(row, cents=self._cents)].append(row[1])
            row = next(self._rows, None)
        self._next = row
        return found

    def rest(self) -> Iterator[dict[Key, list[int]]]:
        """Yield the rows after the last change, second by second."""
        while self._next is not None:
            yield self.until(self._next[0] // 1_000)

    def untimed(self) -> Iterator[Extra]:
        """Yield the rows whose frames carried no time."""
        for row in self._source.untimed_rows(self._table):
            yield Extra(self._table.key_of_row(row, cents=self._cents), row[1])


SECOND_US = 1_000_000
NAMES_KEPT = 100_000

Numbered = tuple[int, Change]


class Compared:
    """One table, its rows in order of time, and the matches so far."""

    def __init__(self, table: SimTable, source: RowSource, delivered: Delivered, *, cents: bool) -> None:
        self.table = table
        self.rows = RecordedRows(source, table, cents=cents)
        self.matcher = Matcher(Findings(table.name), delivered, table.timeless, self.rows.untimed())
        self.expected: dict[Key, list[int]] = defaultdict(list)

    def finish_second(self, second: int) -> None:
        self.matcher.group(self.expected, self.rows.until(second))
        self.expected = defaultdict(list)

    def finish(self) -> None:
        for found in self.rows.rest():
            self.matcher.group({}, found)


class SimCheck:
    """The comparison of a recording with the truth: one pass to match, further passes to resolve the rest."""

    def __init__(
        self,
        reader: TruthReader,
        source: RowSource,
        progress: Callable[[int], object] = lambda _changes: None,
        books: int = BOOKS,
    ) -> None:
        header = reader.header
        self._reader = reader
        self._source = source
        self._progress = progress  # receives the number of changes since its last call
        self._sample = BookSample(books)
        self._cents = header.whole_cents
        self._catalog = header.catalog()
        self._ticker = lru_cache(maxsize=NAMES_KEPT)(self._catalog.ticker)
        self._delivered = Delivered(reader)

    def run(self) -> SimReport:
        tables = {
            table.change_type: Compared(table, self._source, self._delivered, cents=self._cents) for table in TABLES
        }
        lifecycle: list[tuple[int, SimLifecycle]] = []
        sample = self._sample
        for second, numbered in self._seconds():
            changes = list(numbered)
            for ordinal, change in changes:
                sample.feed(ordinal, change)
                if isinstance(change, SimLifecycle):
                    lifecycle.append((ordinal, change))
                else:
                    compared = tables[type(change)]
                    compared.expected[self._key(compared.table, change)].append(ordinal)
            for compared in tables.values():
                compared.finish_second(second)
            self._progress(len(changes))
        for compared in tables.values():
            compared.finish()
            self._resolve(compared)
            self._delivered.withdraw(compared.matcher.indistinct)
        findings = [compared.matcher.findings for compared in tables.values()]
        is_proof = bool(self._delivered) or self._reader.count() == 0
        return SimReport([*findings, self._lifecycle(lifecycle)], self._books(sample), is_proof)

    def _seconds(self) -> Iterator[tuple[int, Iterator[Numbered]]]:
        return itertools.groupby(enumerate(self._reader.changes()), key=lambda numbered: numbered[1].at_us // SECOND_US)

    def _resolve(self, compared: Compared) -> None:
        """Look up in the history whether unmatched rows belong to changes of another time."""
        asked = compared.matcher.unmatched_timeless()
        known = set()
        for change in self._reader.changes() if asked else ():
            if type(change) is compared.table.change_type:
                known.add(compared.table.timeless(self._key(compared.table, change)))
        compared.matcher.resolve(known & asked, compared.table.looks_alike, self._delivered.most_at_once)

    def _key(self, table: SimTable, change: SimDelta | SimTrade | SimTicker) -> Key:
        return table.key(self._ticker(change.market), change, cents=self._cents)

    def _lifecycle(self, changes: list[tuple[int, SimLifecycle]]) -> Findings:
        """Return the findings about lifecycle messages.

        On the older wire a recorder listens to one of two channels: the one that matches better is assumed.
        """
        ways = lifecycle_rows.in_cents(self._catalog) if self._cents else [lifecycle_rows.as_it_is]
        return min((self._lifecycle_as(say, changes) for say in ways), key=lambda findings: findings.unmatched)

    def _lifecycle_as(self, say: lifecycle_rows.Say, changes: list[tuple[int, SimLifecycle]]) -> Findings:
        times_ms = {ordinal: change.at_us // 1_000 for ordinal, change in changes}
        matcher = Matcher(
            Findings(lifecycle_rows.NAME),
            self._delivered,
            lifecycle_rows.timeless,
            happened_ms=lambda missing: times_ms[missing.ordinals[missing.nth]],
        )
        matcher.group(lifecycle_rows.by_key(changes, say), lifecycle_rows.found_keys(self._source))
        matcher.resolve(set(), (lifecycle_rows.looks_alike,), self._delivered.most_at_once)
        return matcher.findings

    def _books(self, sample: BookSample) -> BookFindings:
        if self._cents:
            # The older wire has no clock that shows which changes a snapshot includes.
            return BookFindings()
        return compare_books(self._source, self._catalog, self._reader, sample, self._delivered)
