from contextlib import contextmanager
from datetime import UTC, datetime

from app.lake.binding import bind_first, identity_of, register
from app.lake.layout import PROCESSED
from app.lake.ledger import open_ledger
from app.postgres.connection import connected
from app.storage.writer import CopyWriter

ALL = tuple(PROCESSED.values())
EVER = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))


@contextmanager
def ledger_of(production, storage):
    """The lake's own, which production is bound to if it is the first."""
    lake_id = identity_of(storage).lake_id
    with connected(production) as connection:
        register(connection, storage, lake_id)
        bind_first(connection, lake_id)
    with open_ledger(production, lake_id) as ledger:
        yield ledger


def write(dsn, table, rows):
    writer = CopyWriter(table, dsn)
    written = writer.write(rows)
    writer.close()
    assert written.quarantined == 0
    return written


def export_all(exporter, ledger, datasets=ALL):
    """Every hour of every table, finished or not; by dataset and hour."""
    done = {}
    for dataset in datasets:
        while exporter.survey(dataset):
            continue
        for hour in ledger.hours(dataset, *EVER):
            done[dataset.name, hour] = exporter.export(dataset, hour)
    return done
