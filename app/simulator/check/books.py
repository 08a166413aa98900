"""The comparison of books: sampled moments rebuilt from recorded rows, and recorded snapshots themselves.

In: a sample of the history's moments and the recorded rows. Out: findings about books that differ, or cannot be
rebuilt.
A moment is a clock within an epoch, since maintenance restarts the clocks.
"""

from typing import NamedTuple

from app.simulator.check.matcher import Delivered
from app.simulator.check.replay import Replay, Wanted
from app.simulator.check.report import EXAMPLES, BookFindings
from app.simulator.check.tables import RowSource
from app.simulator.market.catalog import Catalog
from app.simulator.market.changes import Change, SimDelta, SimLifecycle
from app.simulator.market.exchange import CLOCKS_RESTARTED
from app.simulator.market.random import scrambled
from app.simulator.truth import TruthReader

BOOKS = 400
FOR_EVER_US = 4_000_000_000_000_000


class SimMoment(NamedTuple):
    """A market's book at a clock; `epoch` counts the restarts of clocks before it."""

    market: int
    epoch: int
    clock: int


class BookSample:
    """A sample of the history's moments, spread over all of it and deterministic, and the times of clock restarts."""

    def __init__(self, count: int = BOOKS) -> None:
        self._count = count
        self._one_in = 1
        self._moments: dict[SimMoment, int] = {}
        self.epochs_us = [0]

    def feed(self, ordinal: int, change: Change) -> None:
        if isinstance(change, SimDelta):
            chance = scrambled(ordinal)
            if chance % self._one_in == 0:
                self._moments[SimMoment(change.market, len(self.epochs_us) - 1, change.clock)] = chance
                self._thin_out()
        elif isinstance(change, SimLifecycle) and change.event_type == CLOCKS_RESTARTED:
            self.epochs_us.append(change.at_us)

    def moments(self) -> list[SimMoment]:
        return list(self._moments)

    def bounds_us(self, epoch: int) -> tuple[int, int]:
        """Return the start and the end of an epoch."""
        following = self.epochs_us[epoch + 1 :] or [FOR_EVER_US]
        return self.epochs_us[epoch], following[0]

    def epoch_at(self, at_us: int) -> int:
        return sum(1 for start_us in self.epochs_us if start_us <= at_us) - 1

    def _thin_out(self) -> None:
        """Halve the share of moments until few enough remain; which remain depends on the history alone."""
        while len(self._moments) > self._count:
            self._one_in *= 2
            self._moments = {moment: chance for moment, chance in self._moments.items() if chance % self._one_in == 0}


def compare_books(
    source: RowSource, catalog: Catalog, reader: TruthReader, sample: BookSample, delivered: Delivered
) -> BookFindings:
    """Return the findings of one replay of the history against rebuilt books and snapshots."""
    findings = BookFindings()
    rebuilt = _rebuilt(source, catalog, sample, delivered, findings)
    snapshots = _snapshots(source, catalog, sample, findings)
    replay = Replay(catalog, rebuilt + snapshots, delivered)
    for ordinal, change in enumerate(reader.changes()):
        replay.feed(ordinal, change)
    replay.finish()
    for want in rebuilt:
        if want.has_hole:
            findings.with_holes += 1
        else:
            findings.compared += 1
            _judge(want, catalog, findings, "rebuilt")
    for want in snapshots:
        findings.snapshots_compared += 1
        _judge(want, catalog, findings, "snapshot")
    return findings


def _rebuilt(
    source: RowSource, catalog: Catalog, sample: BookSample, delivered: Delivered, findings: BookFindings
) -> list[Wanted]:
    wanted = []
    for market, epoch, clock in sample.moments():
        book = source.rebuilt_book(catalog.ticker(market), clock, *sample.bounds_us(epoch))
        if book is None and epoch == 0 and delivered.earliest_snapshots.get(market, clock + 1) <= clock:
            # Only in the first epoch: restarted clocks are as small as the first ones, so later losses cannot be
            # distinguished.
            findings.lost += 1
        elif book is None:
            findings.unanchored += 1
        else:
            wanted.append(Wanted(market, epoch, clock, book.sides, book.base_clock))
    return wanted


def _snapshots(source: RowSource, catalog: Catalog, sample: BookSample, findings: BookFindings) -> list[Wanted]:
    wanted = []
    for snapshot in source.snapshots():
        market = catalog.index_of(snapshot.ticker)
        if market is None:
            findings.unexpected += 1
        else:
            epoch = sample.epoch_at(snapshot.at_us)
            wanted.append(Wanted(market, epoch, snapshot.clock, snapshot.sides, snapshot.clock))
    return wanted


def _judge(want: Wanted, catalog: Catalog, findings: BookFindings, what: str) -> None:
    if want.actual == want.sides:
        return
    findings.altered += 1
    if len(findings.examples) < EXAMPLES:
        shown = {"ticker": catalog.ticker(want.market), "clock": want.moment[1], "what": what}
        findings.examples.append(shown | {"expected": want.actual, "found": want.sides})
