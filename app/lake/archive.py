from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from app.lake.candle_days import CandleDays
from app.lake.dataset import PROCESSED, RAW_TABLES, Dataset, raw_dataset
from app.lake.exporter import Exporter
from app.lake.ledger import Ledger, Unfinished, open_ledger
from app.lake.storage import Storage
from app.lake.verifier import Finding, Verdict, Verifier
from app.metrics import lake as metrics
from app.postgres.connection import connected, value_of
from app.postgres.dsn import Dsn

SYSTEM_IDENTIFIER = "SELECT system_identifier FROM pg_control_system()"


class Archive:
    """One database's tables in the lake: noticing which hours are new, writing them, reading them back. The ledger is
    in production, whether the rows are production's or a gatherer's."""

    def __init__(self, production: Dsn, storage: Storage, gatherer: tuple[str, Dsn] | None = None) -> None:
        self._production = production
        self._storage = storage
        self._gatherer = gatherer
        self._source = gatherer[1] if gatherer else production

    @property
    def is_raw(self) -> bool:
        return self._gatherer is not None

    def datasets(self) -> Mapping[str, Dataset]:
        """By table."""
        if self._gatherer is None:
            return PROCESSED
        name, dsn = self._gatherer
        with connected(dsn, "lake") as connection:
            identifier = int(value_of(connection, SYSTEM_IDENTIFIER))
        return {table.name: raw_dataset(table, name, identifier) for table in RAW_TABLES}

    @contextmanager
    def opened(self) -> Iterator["OpenArchive"]:
        with open_ledger(self._production) as ledger:
            yield OpenArchive(self._source, ledger, self._storage)

    def step(self, dataset: Dataset, settle_seconds: float) -> bool:
        """Write or read back one hour. True while there may be more."""
        with self.opened() as archive:
            return archive.step(dataset, settle_seconds)

    def make_candles(self) -> bool:
        """Of one day whose trades or quotes have changed in the lake. True while there may be more."""
        with self.opened() as archive:
            return archive.candles.make_next()


class OpenArchive:
    def __init__(self, source: Dsn, ledger: Ledger, storage: Storage) -> None:
        self.ledger = ledger
        self.exporter = Exporter(source, ledger, storage)
        self.verifier = Verifier(source, ledger, storage)
        self.candles = CandleDays(ledger, storage)

    def step(self, dataset: Dataset, settle_seconds: float) -> bool:
        has_more = self.exporter.survey(dataset)
        unfinished = self.ledger.unfinished(dataset, settle_seconds)
        metrics.BEHIND_SECONDS.labels(dataset.table.name).set(unfinished[0].age_seconds if unfinished else 0)
        return any(self._advance(dataset, hour) for hour in unfinished) or has_more

    def survey(self, dataset: Dataset) -> None:
        while self.exporter.survey(dataset):
            continue

    def export(self, dataset: Dataset, hour: datetime) -> bool:
        """Whether it is written now. Not if another process is at it."""
        with metrics.EXPORT_SECONDS.labels(dataset.table.name).time():
            exported = self.exporter.export(dataset, hour)
        if exported is None:
            return False
        metrics.EXPORTED_ROWS.labels(dataset.table.name).inc(exported.rows)
        metrics.EXPORTED_BYTES.labels(dataset.table.name).inc(exported.size_bytes)
        return True

    def verify(self, dataset: Dataset, hour: datetime) -> Finding:
        finding = self.verifier.verify(dataset, hour)
        if finding.verdict.is_safe:
            metrics.VERIFIED_ROWS.labels(dataset.table.name).inc(finding.rows)
        if finding.verdict is Verdict.DIFFERENT:
            metrics.DIFFERENT_FILES.labels(dataset.table.name).inc()
        return finding

    def _advance(self, dataset: Dataset, unfinished: Unfinished) -> bool:
        """Whether that brought it nearer to its end."""
        if unfinished.is_to_be_written:
            return self.export(dataset, unfinished.hour)
        verdict = self.verify(dataset, unfinished.hour).verdict
        if verdict is Verdict.DIFFERENT:
            self.ledger.reopen(dataset, unfinished.hour)
        return verdict.is_safe
