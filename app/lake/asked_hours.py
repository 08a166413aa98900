"""Hours that somebody asked to be in the lake, whether they have ended or not."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from app.errors import OperatorError
from app.lake.archive import Archive
from app.lake.dataset import Dataset
from app.lake.hours import hour_of
from app.lake.storage import StorageError
from app.lake.verifier import Finding, Verdict
from app.offload import Offload

MOST_TOLD = 10
AGAIN = "ask for them again."


class AskedHours:
    def __init__(self, archive: Archive, offload: Offload) -> None:
        self._archive = archive
        self._offload = offload

    def export(self, parameters: Mapping[str, Any]) -> Iterator[str]:
        """Writes them again and reads them back, one after the other; tells how far it is."""
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
        if left:
            raise OperatorError(f"{len(left)} of {len(hours)} hours are left.", "; ".join(left[:MOST_TOLD]), AGAIN)

    def _hours(self, dataset: Dataset, start: datetime, end: datetime) -> list[datetime]:
        with self._archive.opened() as archive:
            archive.survey(dataset)
            return archive.ledger.hours(dataset, start, end)

    def _write(self, dataset: Dataset, hour: datetime) -> Finding:
        """What is wrong with one hour holds up no other."""
        with self._archive.opened() as archive:
            try:
                archive.export(dataset, hour)
                return archive.verify(dataset, hour)
            except StorageError as error:
                return Finding(Verdict.UNREADABLE, 0, str(error))
