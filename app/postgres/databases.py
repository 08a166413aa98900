"""The databases that a command works on: the ones in the settings, or the embedded server's."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import NamedTuple

from app.errors import SettingsError
from app.postgres.dsn import Dsn
from app.postgres.embedded.server import EmbeddedServer
from app.settings import Settings


class DatabaseKind(Enum):
    """The three databases, with the folders of sql/ that their schemas are made from."""

    TIMESERIES = ("kalshi_ts", "ts_dsn", ("shared", "timeseries"))
    METADATA = ("kalshi_meta", "meta_dsn", ("metadata",))
    PRODUCTION = ("kalshi_production", "production_dsn", ("shared", "metadata", "production"))

    def __init__(self, database: str, setting: str, folders: tuple[str, ...]) -> None:
        self.database = database
        self.setting = setting
        self.folders = folders


class Database(NamedTuple):
    kind: DatabaseKind
    dsn: Dsn


def given_databases(settings: Settings) -> list[Database]:
    """Return the databases that the settings name."""
    return [Database(kind, dsn) for kind in DatabaseKind if (dsn := getattr(settings, kind.setting)) is not None]


def chunk_budgets(settings: Settings) -> dict[DatabaseKind, int]:
    """Return the databases that keep their tables in chunks, and the number of bytes that these may take."""
    return {DatabaseKind.TIMESERIES: settings.local_max_bytes, DatabaseKind.PRODUCTION: settings.production_max_bytes}


@contextmanager
def open_databases(settings: Settings) -> Iterator[list[Database]]:
    """Yield the databases that the settings name; if they name none, all three on an embedded server.

    The embedded server runs as long as the block.
    """
    if given := given_databases(settings):
        yield given
        return
    with EmbeddedServer(settings.data_dir / "postgres", settings.postgres_bin) as server:
        yield [Database(kind, server.ensure_database(kind.database)) for kind in DatabaseKind]


@contextmanager
def open_database(settings: Settings, kind: DatabaseKind) -> Iterator[Dsn]:
    """Yield one of the databases, chosen like open_databases() does. Raise SettingsError if it is missing."""
    with open_databases(settings) as databases:
        for database in databases:
            if database.kind is kind:
                yield database.dsn
                return
    raise SettingsError(
        f"The database {kind.database} is not set.",
        "Other databases are set, this one is not.",
        f"set KALSHI_{kind.setting.upper()}.",
    )
