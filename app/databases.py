from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import NamedTuple

from app.postgres.dsn import Dsn
from app.postgres.server import EmbeddedServer
from app.settings import Settings


class Kind(Enum):
    """The three databases, with the folders of sql/ that make each of them."""

    TIMESERIES = ("kalshi_ts", "ts_dsn", ("shared", "timeseries"))
    METADATA = ("kalshi_meta", "meta_dsn", ("metadata",))
    PRODUCTION = ("kalshi_production", "production_dsn", ("shared", "metadata", "production"))

    def __init__(self, database: str, setting: str, folders: tuple[str, ...]) -> None:
        self.database = database
        self.setting = setting
        self.folders = folders

    @property
    def has_chunks(self) -> bool:
        return "shared" in self.folders


class Database(NamedTuple):
    kind: Kind
    dsn: Dsn


@contextmanager
def open_databases(settings: Settings) -> Iterator[list[Database]]:
    """The databases that the settings name; an embedded server runs for those that they do not, while the block does."""
    given: dict[Kind, Dsn] = {kind: dsn for kind in Kind if (dsn := getattr(settings, kind.setting)) is not None}
    if len(given) == len(Kind):
        yield [Database(kind, given[kind]) for kind in Kind]
        return
    with EmbeddedServer(settings.data_dir / "postgres", settings.postgres_bin) as server:
        yield [Database(kind, given.get(kind) or server.ensure_database(kind.database)) for kind in Kind]
