"""Keep a lake up to date with a database: find new hours, export them, and read them back.

In: the tables of production, or of a gatherer (`RawArchive`). Out: verified objects in the lake, and the ledger, which
lies in the database whose rows it describes. Read after it exporter.py and verifier.py, which do the two halves of the
work.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from app.errors import OperatorError
from app.lake.binding import bind_by_location, bind_first, bind_when_reached, bound_lake, identity_of, register, release
from app.lake.candle_days import CandleDays
from app.lake.chain import DayChain
from app.lake.description import LakeDescription
from app.lake.exporter import HourExporter
from app.lake.knowledge import KnowledgeExport
from app.lake.layout import PROCESSED, RAW_TABLES, Dataset, raw_dataset, raw_folder
from app.lake.ledger import ExportLedger, Unfinished, open_ledger
from app.lake.quality_reports import DailyReports
from app.lake.storage import Storage, StorageError
from app.lake.verifier import FileFinding, FileVerdict, Verifier
from app.metrics import lake as metrics
from app.postgres.connection import Connection, connected, value_of
from app.postgres.databases import DatabaseKind
from app.postgres.dsn import Dsn
from app.runtime import logs
from app.runtime.threads import Offload
from app.storage.migrations import refuse_another_kind
from kalshi_data.layout import hour_of

log = logs.get(__name__)

MOST_FAILURES = 3  # in one step: if nothing works, the remaining hours are not tried


class Archive:
    """Production's tables in one lake: find new hours, write them, and read them back.

    The ledger of the exported hours is in the database whose rows they are. If `binds` is set and the database is bound
    to no lake yet, opening the archive binds the database to this lake.
    """

    kind = DatabaseKind.PRODUCTION
    is_raw = False
    owner = "Production"
    how_to_bind = "run kalshi-data lake bind with KALSHI_LAKE set to that one."

    def __init__(self, source: Dsn, storage: Storage, *, binds: bool = True) -> None:
        self._source = source
        self._storage = storage
        self._binds = binds
        self._registered: UUID | None = None
        self._description = LakeDescription(storage)

    def datasets(self) -> Mapping[str, Dataset]:
        """Return the datasets, by table."""
        return PROCESSED

    @contextmanager
    def opened(self) -> Iterator["OpenArchive"]:
        with self._opened_for(self._lake_id()) as archive:
            yield archive

    def update_backlog(self, dataset: Dataset, settle_seconds: float) -> None:
        """Measure how far the lake is behind, without access to the lake: it must be reported even while the lake is
        unreachable."""
        if (known := self._known_lake_id()) is not None:
            with self._opened_for(known) as archive:
                archive.update_backlog(dataset, settle_seconds)

    def step(self, dataset: Dataset, settle_seconds: float) -> bool:
        """Write or read back one hour. Return True while there may be more."""
        with self.opened() as archive:
            return archive.step(dataset, settle_seconds)

    def make_candles(self) -> bool:
        """Make the candles of one day whose trades or quotes have changed in the lake. Return True while there may be
        more."""
        with self.opened() as archive:
            return archive.candles.make_next()

    def write_knowledge(self) -> bool:
        """Write coverage, reference data and the lake's description, as far as they have changed. Return True while
        there may be more."""
        with self.opened() as archive:
            archive.knowledge.note()
            has_more = archive.knowledge.write_next()
        self.describe()
        return has_more

    def seal_days(self) -> bool:
        """Seal one day by a link of the lake's chain, if one is due. Return True while there may be more."""
        with self.opened() as archive:
            return archive.chain.seal_next()

    def write_reports(self) -> bool:
        """Write the report of one finished day, if one is due. Return True while there may be more."""
        with self.opened() as archive:
            return archive.reports.write_next()

    def describe(self) -> None:
        """Have the lake describe itself: README.md, _schema.json and lake.sql."""
        self._description.refresh()

    def prove_writable(self) -> None:
        """Raise a StorageError if this archive may not write its objects."""
        self._storage.prove_writable()

    def why_nothing_is_dropped(self) -> str | None:
        """Return why the database drops nothing because of this lake, or None if it is bound to it."""
        lake_id = self._lake_id()
        with connected(self._source, "lake ledger") as connection:
            if self._binds and bind_first(connection, lake_id):
                log.info("database bound to this lake", lake=self._storage.location)
            bound = bound_lake(connection)
        bind = f"To bind it to another lake, {self.how_to_bind}"
        if bound is None:
            return f"{self.owner} is bound to no lake, and drops nothing. {bind}"
        if bound.lake_id != lake_id:
            return (
                f"{self.owner} is bound to the lake at {bound.location}, and drops only rows that this lake has: rows "
                f"exported to {self._storage.location} are not dropped. {bind}"
            )
        return None

    @contextmanager
    def _opened_for(self, lake_id: UUID) -> Iterator["OpenArchive"]:
        with open_ledger(self._source, lake_id) as ledger:
            yield OpenArchive(self._source, ledger, self._storage)

    def _known_lake_id(self) -> UUID | None:
        """Return the lake's identity as far as the database knows it, without access to the lake. Return None if
        unknown."""
        if self._registered is not None:
            return self._registered
        with connected(self._source, "lake ledger") as connection:
            bound = bound_lake(connection)
        return bound.lake_id if bound else None

    def _lake_id(self) -> UUID:
        """Return the lake's identity. It is read each time, since the lake at this place may have been replaced."""
        if self._registered is None:
            # A gatherer's tables have production's names: nothing of another database may reach this lake.
            with connected(self._source, "lake ledger") as connection:
                refuse_another_kind(connection, self.kind)
        lake_id = identity_of(self._storage).lake_id
        if lake_id != self._registered:
            with connected(self._source, "lake ledger") as connection:
                register(connection, self._storage, lake_id)
                if self._binds:
                    self._bind(connection, lake_id)
            self._registered = lake_id
        return lake_id

    def _bind(self, connection: Connection, lake_id: UUID) -> None:
        if self._registered is not None and release(connection, self._registered):
            log.error("lake replaced by another one: chunks are dropped once the new lake has them", lake=str(lake_id))
        bind_first(connection, lake_id)


class OpenArchive:
    """An archive with an open ledger, for one look or one step."""

    def __init__(self, source: Dsn, ledger: ExportLedger, storage: Storage) -> None:
        self.ledger = ledger
        self.exporter = HourExporter(source, ledger, storage)
        self.verifier = Verifier(source, ledger, storage)
        self.candles = CandleDays(ledger, storage)
        self.knowledge = KnowledgeExport(source, ledger, storage)
        self.description = LakeDescription(storage)
        self.chain = DayChain(ledger, storage)
        self.reports = DailyReports(source, ledger, storage)

    def update_backlog(self, dataset: Dataset, settle_seconds: float) -> bool:
        """Note new rows, and how far behind the lake is. Return whether there may be more rows to note."""
        has_more = self.exporter.survey(dataset)
        backlog = self.ledger.backlog(dataset, settle_seconds)
        metrics.BEHIND_SECONDS.labels(dataset.table.name).set(backlog.oldest_seconds)
        metrics.FAILING_HOURS.labels(dataset.table.name).set(backlog.failing_hours)
        return has_more

    def step(self, dataset: Dataset, settle_seconds: float) -> bool:
        has_more = self.update_backlog(dataset, settle_seconds)
        return self._advance_one(dataset, self.ledger.unfinished(dataset, settle_seconds)) or has_more

    def complete(self, start: datetime, end: datetime) -> int:
        """Write what goes with the hours of production that were just exported: candles, coverage, reference data, and
        the lake's description. Return the number of days whose candles were computed."""
        days = 0
        while self.candles.make_next():
            days += 1
        self.knowledge.write(start, end)
        self.description.refresh()
        return days

    def _advance_one(self, dataset: Dataset, unfinished: list[Unfinished]) -> bool:
        """Write or verify the first hour for which that works. Return whether there was one. A failing hour is tried
        again later."""
        failures = 0
        for hour in unfinished:
            try:
                if self._advance(dataset, hour):
                    return True
            except OperatorError as error:
                self._failed(dataset, hour.hour, str(error))
                failures += 1
            if failures == MOST_FAILURES:
                break
        return False

    def _failed(self, dataset: Dataset, hour: datetime, reason: str) -> None:
        metrics.FAILURES.inc()
        log.error("hour not exported", dataset=dataset.name, hour=hour.isoformat(), reason=reason)
        self.ledger.failed(dataset, hour, reason)

    def survey(self, dataset: Dataset) -> None:
        while self.exporter.survey(dataset):
            continue

    def export(self, dataset: Dataset, hour: datetime) -> bool:
        """Export the hour. Return False if another process writes it, or if some of its rows were dropped meanwhile."""
        with metrics.EXPORT_SECONDS.labels(dataset.table.name).time():
            exported = self.exporter.export(dataset, hour)
        if exported is None:
            return False
        metrics.EXPORTED_ROWS.labels(dataset.table.name).inc(exported.rows)
        metrics.EXPORTED_BYTES.labels(dataset.table.name).inc(exported.size_bytes)
        return True

    def verify(self, dataset: Dataset, hour: datetime) -> FileFinding:
        finding = self.verifier.verify(dataset, hour)
        if finding.verdict.is_safe:
            metrics.VERIFIED_ROWS.labels(dataset.table.name).inc(finding.rows)
        if finding.verdict is FileVerdict.DIFFERENT:
            metrics.DIFFERENT_FILES.labels(dataset.table.name).inc()
        return finding

    def _advance(self, dataset: Dataset, unfinished: Unfinished) -> bool:
        """Write or verify the hour, whichever it needs. Return whether that succeeded."""
        if unfinished.is_to_be_written:
            return self.export(dataset, unfinished.hour)
        finding = self.verify(dataset, unfinished.hour)
        if finding.verdict is FileVerdict.DIFFERENT:
            self.ledger.reopen(dataset, unfinished.hour)
            self.ledger.failed(dataset, unfinished.hour, finding.difference)
        return finding.verdict.is_safe


# Hours that an operator asks to export, whether they have ended or not.

MOST_TOLD = 10
AGAIN = "request these hours again."


class AskedHours:
    """The export job: write hours that an operator asks for."""

    def __init__(self, archive: Archive, offload: Offload) -> None:
        self._archive = archive
        self._offload = offload

    def export(self, parameters: Mapping[str, Any]) -> Iterator[str]:
        """Write the hours again and read them back, one after the other. Yield the progress."""
        start, end = (datetime.fromisoformat(parameters[name]) for name in ("from", "to"))
        dataset = self._offload(self._archive.datasets)[parameters["table"]]
        hours = self._offload(self._hours, dataset, hour_of(start), end)
        rows, left = 0, []
        for number, hour in enumerate(hours, start=1):
            finding = self._offload(self._write, dataset, hour)
            rows += finding.rows
            if not finding.verdict.is_safe:
                left.append(f"{hour.isoformat()} {finding.difference or finding.verdict.value}")
            yield f"{number - len(left)} of {len(hours)} hours written and read back, {rows} rows"
        self._offload(self._complete, hour_of(start), end)
        if left:
            raise OperatorError(
                f"{len(left)} of {len(hours)} hours were not exported.", "; ".join(left[:MOST_TOLD]), AGAIN
            )

    def _complete(self, start: datetime, end: datetime) -> None:
        with self._archive.opened() as archive:
            archive.complete(start, end)

    def _hours(self, dataset: Dataset, start: datetime, end: datetime) -> list[datetime]:
        with self._archive.opened() as archive:
            archive.survey(dataset)
            return archive.ledger.hours(dataset, start, end)

    def _write(self, dataset: Dataset, hour: datetime) -> FileFinding:
        """Write one hour and read it back. An error is returned as a finding, so that the other hours are still
        written."""
        with self._archive.opened() as archive:
            try:
                archive.export(dataset, hour)
                return archive.verify(dataset, hour)
            except StorageError as error:
                return FileFinding(FileVerdict.UNREADABLE, 0, str(error))


# The raw archive: a gatherer's rows as received, in a lake's raw/.
#
# An hour is written when it has ended and settled, without waiting for the deduplicator to confirm it: rows that no
# other place has yet need a second copy most, and rows that arrive late cause their hour to be written again.
#
# From the first look on, before the lake was ever reached, the database is bound to it, and drops no rows for their age
# that the lake does not have. A full disk takes precedence: app/storage/confirmation.py.

SYSTEM_IDENTIFIER = "SELECT system_identifier FROM pg_control_system()"


class RawArchive(Archive):
    """One gatherer's tables in raw/ of one lake, by the ledger in that gatherer's own database."""

    kind = DatabaseKind.TIMESERIES
    is_raw = True
    owner = "The gatherer's database"
    how_to_bind = "run kalshi-data lake bind --raw with KALSHI_LAKE set to that one."

    def __init__(self, timeseries: Dsn, storage: Storage, gatherer: str, *, binds: bool = True) -> None:
        super().__init__(timeseries, storage, binds=binds)
        self._gatherer = gatherer

    def datasets(self) -> Mapping[str, Dataset]:
        with connected(self._source, "lake") as connection:
            identifier = int(value_of(connection, SYSTEM_IDENTIFIER))
        return {table.name: raw_dataset(table, self._gatherer, identifier) for table in RAW_TABLES}

    def prove_writable(self) -> None:
        """Raise a StorageError if this gatherer's own folder cannot be written: a gatherer has no rights to any
        other."""
        self._storage.prove_writable(raw_folder(RAW_TABLES[0].name, self._gatherer))

    def _known_lake_id(self) -> UUID | None:
        if self._binds and self._registered is None:
            with connected(self._source, "lake ledger") as connection:
                if bind_by_location(connection, self._storage.location):
                    log.info(
                        "old chunks are kept until this lake has them",
                        lake=self._storage.location,
                    )
        return super()._known_lake_id()

    def _bind(self, connection: Connection, lake_id: UUID) -> None:
        bind_when_reached(connection, lake_id)
        super()._bind(connection, lake_id)
