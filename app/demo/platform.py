"""Run the platform's processes for the demo, in front of some exchange.

In: settings for the exchange, per gatherer. Out: databases, gatherers, deduplicator, exporter and admin service, ready,
and stopped in the order in which data flows.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from app.demo.processes import (
    PRODUCTION,
    PROJECT,
    Child,
    Process,
    Server,
    ask,
    free_port,
    kinds_of,
    server_folder,
    wait_until,
)
from app.postgres.connection import connected, value_of
from app.postgres.databases import DatabaseKind
from app.postgres.dsn import Dsn
from app.settings import Settings
from app.storage.tables import GATHERER_TABLES

READY_SECONDS = 120.0
MERGED_SECONDS = 120.0

MERGED = "SELECT coalesce(min(ingest_id), 0) FROM sync_cursors WHERE gatherer = %s AND table_name = %s"
# Otherwise a run of a minute waits for these: books that are refreshed, for the audit, and coverage results.
HASTE = {
    "KALSHI_SNAPSHOT_REFRESH_SECONDS": "60",
    "KALSHI_FOLLOW_MILLISECONDS": "500",
    "KALSHI_COVERAGE_SECONDS": "2",
}


class DemoGatherer(NamedTuple):
    """A gatherer with its database server."""

    process: Process
    server: Server


class Platform:
    """Gatherers, the deduplicator, the exporter and the admin service, on databases of their own."""

    def __init__(self, settings: Settings, run: Path) -> None:
        self._settings = settings
        self._run = run
        self._production = self._server(PRODUCTION)
        self.recorders: dict[str, DemoGatherer] = {}
        self.deduplicator: Process
        self.exporter: Process
        self.admin_url = f"http://127.0.0.1:{free_port()}"

    @property
    def production(self) -> Dsn:
        return self._production.dsns[DatabaseKind.PRODUCTION]

    @property
    def lake(self) -> Path:
        return server_folder(self._settings.data_dir, "lake")

    @contextmanager
    def running(self, exchange: dict[str, dict[str, str]], tell: Callable[[str], None]) -> Iterator[None]:
        """Run a gatherer for each name with its settings of the exchange, and the rest; yield when all are ready."""
        with ExitStack() as stack:
            tell("Starting the production database.")
            self._production.start()
            stack.callback(self._production.stop)
            for name, settings in exchange.items():
                tell(f"Starting {name} and its databases.")
                self._start_recorder(name, settings, stack)
            tell("Starting the deduplicator, the exporter and the admin service.")
            self._start_deduplicator(next(iter(exchange.values())), stack)
            self._start_exporter(stack)
            self._start_admin(stack)
            tell("Waiting until all markets are subscribed to.")
            wait_until(self.why_not_ready, READY_SECONDS)
            yield

    def why_not_ready(self) -> str | None:
        """Return why the platform is not ready, or None."""
        reasons = [process.why_not_ready() for process in self._workers()]
        return next(filter(None, [*reasons, self._why_no_admin()]), None)

    def check(self) -> None:
        """Raise if one of the processes has ended on its own."""
        for process in (*self._workers(), self.admin):
            process.check()

    def stop_recording(self) -> None:
        """Stop the gatherers, and return when everything they received is in production."""
        for recorder in self.recorders.values():
            recorder.process.stop()
        wait_until(self._why_not_merged, MERGED_SECONDS)

    def stop_merging(self) -> None:
        self.deduplicator.stop()

    def stop_archiving(self) -> None:
        self.exporter.stop()
        self.admin.stop()

    def _workers(self) -> list[Process]:
        return [*(recorder.process for recorder in self.recorders.values()), self.deduplicator, self.exporter]

    def _why_not_merged(self) -> str | None:
        """Return a table with rows that are not in production yet, or None."""
        self.deduplicator.check()
        with connected(self.production) as production:
            for name, recorder in self.recorders.items():
                with connected(recorder.server.dsns[DatabaseKind.TIMESERIES]) as own:
                    for table in GATHERER_TABLES:
                        last = value_of(own, f"SELECT coalesce(max(ingest_id), 0) FROM {table.name}")  # noqa: S608
                        if value_of(production, MERGED, (name, table.name)) < last:
                            return f"{table.name} of {name} is not in production yet."
        return None

    def _start_recorder(self, name: str, exchange: dict[str, str], stack: ExitStack) -> None:
        server = self._server(name)
        server.start()
        stack.callback(server.stop)
        settings = {
            **exchange,
            **HASTE,
            "KALSHI_GATHERER": name,
            "KALSHI_GATHERERS": "1",
            "KALSHI_WS_CONNECTIONS": "10",
            "KALSHI_TS_DSN": server.dsns[DatabaseKind.TIMESERIES].reveal(),
            "KALSHI_META_DSN": server.dsns[DatabaseKind.METADATA].reveal(),
            "KALSHI_DATA_DIR": str(server_folder(self._settings.data_dir, name) / "spools"),
        }
        process = Process(name, "gatherer", settings, self._run)
        process.start()
        stack.callback(process.kill)
        self.recorders[name] = DemoGatherer(process, server)

    def _start_deduplicator(self, exchange: dict[str, str], stack: ExitStack) -> None:
        settings = {
            **exchange,
            **HASTE,
            "KALSHI_PRODUCTION_DSN": self.production.reveal(),
            "KALSHI_GATHERER_DSNS": self._listed(DatabaseKind.TIMESERIES),
            "KALSHI_GATHERER_META_DSNS": self._listed(DatabaseKind.METADATA),
            "KALSHI_DATA_DIR": str(server_folder(self._settings.data_dir, PRODUCTION) / "deduplicator"),
        }
        self.deduplicator = Process("deduplicator", "deduplicator", settings, self._run)
        self.deduplicator.start()
        stack.callback(self.deduplicator.kill)

    def _start_exporter(self, stack: ExitStack) -> None:
        settings = {"KALSHI_PRODUCTION_DSN": self.production.reveal(), "KALSHI_LAKE": str(self.lake)}
        self.exporter = Process("exporter", "exporter", settings, self._run)
        self.exporter.start()
        stack.callback(self.exporter.kill)

    def _start_admin(self, stack: ExitStack) -> None:
        host = self.admin_url.removeprefix("http://")
        command = ["gunicorn", "--config", str(PROJECT / "gunicorn.conf.py"), "--bind", host, "admin:app"]
        ops_ports = ";".join(f"{name}={recorder.process.url}" for name, recorder in self.recorders.items())
        settings = {"KALSHI_PRODUCTION_DSN": self.production.reveal(), "KALSHI_GATHERER_OPS": ops_ports}
        self.admin = Child("admin", command, settings, self._run)
        self.admin.start()
        stack.callback(self.admin.kill)

    def _why_no_admin(self) -> str | None:
        self.admin.check()
        return None if ask(f"{self.admin_url}/ready") else "admin does not answer"

    def _listed(self, kind: DatabaseKind) -> str:
        return ";".join(f"{name}={recorder.server.dsns[kind].reveal()}" for name, recorder in self.recorders.items())

    def _server(self, name: str) -> Server:
        folder = server_folder(self._settings.data_dir, name)
        return Server(folder, kinds_of(name), self._settings.postgres_bin)
