"""Run all checks in the order in which a person reads them."""

from collections.abc import Iterator

from app.doctor.check import ADMIN, ARCHIVER, DEDUPLICATOR, EXPORTER, GATHERER, MAINTAINER, Check, note
from app.doctor.databases import database_checks, gatherers_checks, lake_checks
from app.doctor.exchange import exchange_checks
from app.doctor.host import embedded_server, host_checks
from app.postgres.databases import chunk_budgets, given_databases
from app.settings import Settings
from app.settings.loading import warnings_of

NEEDED = {
    "ts_dsn": (GATHERER, ARCHIVER),
    "meta_dsn": (GATHERER,),
    "production_dsn": (DEDUPLICATOR, EXPORTER, ADMIN),
}


def checks(settings: Settings) -> Iterator[Check]:
    yield from host_checks(settings)
    # Without warnings about files, which host_checks judges.
    yield from (note("settings", warning) for warning in warnings_of(settings, {}))
    databases, budgets = given_databases(settings), chunk_budgets(settings)
    if not databases:
        yield embedded_server(settings)
        yield note("databases", "none is set: commands use an embedded server; processes need databases", (MAINTAINER,))
    for setting, processes in NEEDED.items():
        if getattr(settings, setting) is None:
            yield note(f"KALSHI_{setting.upper()}", "not set", processes)
    for database in databases:
        yield from database_checks(database, budgets.get(database.kind))
    yield from gatherers_checks(settings)
    yield from exchange_checks(settings)
    yield from lake_checks(settings)
