"""Keep the figures of each finished day, and write them into the lake.

In: production's judgements of a day. Out: rows of `quality_days`, and `reports/date=YYYY-MM-DD/report.json` in the
lake. A day of which something is learnt later is computed and written again.
"""

from datetime import datetime

import msgspec

from app.lake.ledger import ExportLedger
from app.lake.storage import Storage, StorageError
from app.postgres.connection import claimed, connected
from app.postgres.dsn import Dsn
from app.report.days import keep_next_day
from app.runtime import logs
from app.status.readings import asked_over
from kalshi_data.layout import day_folder

log = logs.get(__name__)

TO_WRITE = """
    SELECT q.day, q.figures::TEXT, q.computed_at FROM quality_days AS q
    LEFT JOIN quality_exports AS e ON e.lake_id = %(lake)s AND e.day = q.day AND e.computed_at >= q.computed_at
    WHERE e.day IS NULL ORDER BY q.day LIMIT 1
"""
WRITTEN = """
    INSERT INTO quality_exports (lake_id, day, computed_at) VALUES (%(lake)s, %(day)s, %(computed_at)s)
    ON CONFLICT (lake_id, day) DO UPDATE SET computed_at = excluded.computed_at
"""


def report_key(day: datetime) -> str:
    return f"reports/{day_folder(day)}/report.json"


class DailyReports:
    """The reports of finished days in one lake."""

    def __init__(self, source: Dsn, ledger: ExportLedger, storage: Storage) -> None:
        self._source = source
        self._ledger = ledger
        self._storage = storage

    def write_next(self) -> bool:
        """Compute the figures of one day that lacks them, and write those of one day. Return True if there was one."""
        return any([self._compute(), self._write()])

    def _compute(self) -> bool:
        with (
            connected(self._source, "quality of days") as connection,
            claimed(connection, "quality of days") as is_ours,
        ):
            day = keep_next_day(asked_over(connection), connection) if is_ours else None
        if day is not None:
            log.info("figures of a day computed", day=f"{day:%Y-%m-%d}")
        return day is not None

    def _write(self) -> bool:
        due = self._ledger.row(TO_WRITE)
        if due is None:
            return False
        day, figures, computed_at = due
        key, content = report_key(day), msgspec.json.format(figures.encode(), indent=1) + b"\n"
        self._storage.put(key, content, self._storage.version(key))
        if self._storage.read(key) != content:
            raise StorageError(f"{key} is not in the lake as it was written.")
        self._ledger.change(WRITTEN, day=day, computed_at=computed_at)
        log.info("report of a day written", day=f"{day:%Y-%m-%d}")
        return True
