"""The demo's database servers, each in a folder of its own, with what is kept small for many on one host."""

from collections.abc import Iterable
from pathlib import Path

from app.databases import Kind
from app.errors import OperatorError
from app.postgres.connection import connected
from app.postgres.dsn import Dsn
from app.postgres.server import EmbeddedServer
from app.store.migrations import migrate, migrations_of

GATHERERS = ("one", "two", "three")
PRODUCTION = "production"
OF_A_GATHERER = (Kind.TIMESERIES, Kind.METADATA)
SMALL = {"shared_buffers": "64MB", "max_wal_size": "512MB", "track_commit_timestamp": "on"}


def server_folder(data_dir: Path, name: str) -> Path:
    return data_dir / "demo" / name


def kinds_of(name: str) -> tuple[Kind, ...]:
    return (Kind.PRODUCTION,) if name == PRODUCTION else OF_A_GATHERER


class Server:
    """One database server, and its databases as far as they are migrated."""

    def __init__(self, folder: Path, kinds: Iterable[Kind], binaries: Path | None) -> None:
        self._server = EmbeddedServer(folder, binaries, SMALL)
        self._kinds = tuple(kinds)
        self.dsns: dict[Kind, Dsn] = {}
        self.stop, self.kill = self._server.stop, self._server.kill

    def start(self) -> None:
        self._server.start()
        self.dsns = {kind: self._server.ensure_database(kind.database) for kind in self._kinds}
        for kind, dsn in self.dsns.items():
            with connected(dsn) as connection:
                migrate(connection, migrations_of(kind))

    def start_again(self) -> None:
        """Where it was: those who use it know no other place."""
        self._server.start()
        if any(self._server.dsn(kind.database).reveal() != dsn.reveal() for kind, dsn in self.dsns.items()):
            raise OperatorError(
                "A database server came back at another place.",
                "The path of its folder is too long for a socket in it.",
                "set KALSHI_DATA_DIR to a shorter path.",
            )
