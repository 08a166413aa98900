from typing import Annotated

from msgspec import Meta

from app.settings.exchange import ExchangeSettings

Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]*$")]
Sockets = Annotated[int, Meta(ge=7, le=1_000)]
PartNumber = Annotated[int, Meta(ge=1)]
Address = Annotated[str, Meta(pattern=r"^[^\s:]+:[0-9]{1,5}$")]


class GathererSettings(ExchangeSettings, frozen=True, kw_only=True):
    gatherer: Annotated[
        Name,
        Meta(description="Name of this gatherer, unlike any other's.", examples=["gatherer-1a"]),
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
            description="A socket that gave neither a message nor a ping for so long is opened anew.",
            examples=["30"],
        ),
    ] = 30
    rehome_seconds: Annotated[
        int,
        Meta(
            ge=1,
            description="Markets of a socket that is down for longer are moved to others.",
            examples=["60"],
        ),
    ] = 60
    snapshot_refresh_seconds: Annotated[
        int,
        Meta(
            ge=60,
            le=21_600,  # app/coverage/journals.py counts on it
            description="Every market's book is asked for again on its socket about once in this time: what "
            "changes are counted from, and checked against.",
            examples=["21600"],
        ),
    ] = 21_600
    poll_seconds: Annotated[
        int,
        Meta(
            ge=1,
            description="Every active market's book that has two sides is polled by REST once in this time, or as fast "
            "as the budget allows.",
            examples=["60"],
        ),
    ] = 60
    poll_quiet_seconds: Annotated[
        int,
        Meta(
            ge=1,
            description="The same for books with one side or none, and for those of combos.",
            examples=["900"],
        ),
    ] = 900
    poll_part: Annotated[
        PartNumber | None,
        Meta(
            description="Which part of the books this gatherer polls, of as many as there are gatherers. While it "
            "is away nobody polls them. Unset: all of them.",
            examples=["1"],
        ),
    ] = None
    status_seconds: Annotated[
        int, Meta(ge=1, description="Pause between two looks at the exchange's status.", examples=["60"])
    ] = 60
    reconcile_seconds: Annotated[
        int, Meta(ge=1, description="Pause between two looks at which markets changed.", examples=["300"])
    ] = 300
    full_reconcile_seconds: Annotated[
        int, Meta(ge=1, description="Pause between two walks through all markets.", examples=["3600"])
    ] = 3_600
    events_seconds: Annotated[
        int, Meta(ge=1, description="Pause between two looks at which events changed.", examples=["600"])
    ] = 600
    batch_rows: Annotated[
        int, Meta(ge=1, le=100_000, description="Rows that are written at once, at most.", examples=["5000"])
    ] = 5_000
    batch_milliseconds: Annotated[
        int, Meta(ge=1, le=10_000, description="Rows wait for so long for others to be written with.", examples=["50"])
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
            description="Disk that rows may take in `KALSHI_DATA_DIR/spool` while the database is away.",
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

    @property
    def request_sharers(self) -> int:
        """How many processes use the key's request budget: the deduplicator asks for what no gatherer has."""
        return self.gatherers + 1
