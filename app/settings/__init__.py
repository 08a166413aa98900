"""Every setting, defined once: its name (KALSHI_ and the field's name), type, default and description.

In: the environment, through loading.py. Out: one `Settings`, checked as a whole.
Read this file first; a gatherer's settings are in gatherer.py.
"""

import re
from typing import Annotated, Literal

from msgspec import Meta

from app.postgres.dsn import Dsn
from app.runtime.logs import LogFormat, LogLevel
from app.runtime.networks import Networks
from app.runtime.secrets import Secret, Tokens
from app.settings.gatherer import GathererSettings

ENTRY = re.compile(r"([a-z0-9][a-z0-9-]*)=(\S.*)")


class GathererDsns(Secret):
    """Connection strings by gatherer: `name=dsn`, separated by semicolons or line ends."""

    __slots__ = ()

    def __init__(self, value: str) -> None:
        entries = [ENTRY.fullmatch(entry.strip()) for entry in re.split(r"[;\n]", value) if entry.strip()]
        if not entries or None in entries:
            raise ValueError("not a list of name=dsn, separated by semicolons or line ends")
        names = [entry[1] for entry in entries if entry]
        if len(set(names)) < len(names):
            raise ValueError("two gatherers have the same name")
        super().__init__(value)
        self.by_gatherer()

    def by_gatherer(self) -> dict[str, Dsn]:
        entries = (entry.strip().partition("=") for entry in re.split(r"[;\n]", self.reveal()) if entry.strip())
        return {name: Dsn(dsn) for name, _, dsn in entries}


class DeduplicatorSettings(GathererSettings, frozen=True, kw_only=True):
    gatherer_dsns: Annotated[
        GathererDsns | None,
        Meta(
            description="Time series databases of all gatherers, for the deduplicator: `name=dsn`, with semicolons or "
            "line ends between.",
            examples=[
                "gatherer-1a=postgresql://dedup@a.example/kalshi_ts;gatherer-1b=postgresql://dedup@b.example/kalshi_ts"
            ],
        ),
    ] = None
    gatherer_meta_dsns: Annotated[
        GathererDsns | None,
        Meta(
            description="Databases of series, events and markets of the same gatherers, under the same names.",
            examples=["gatherer-1a=postgresql://dedup@a.example/kalshi_meta"],
        ),
    ] = None
    dedup_shards: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000,
            description="Into how many shares tickers are divided for merging. All deduplicators have the same number; "
            "one with another waits until the others have stopped.",
            examples=["4"],
        ),
    ] = 1
    dedup_batch_bytes: Annotated[
        int,
        Meta(
            ge=10_000,
            le=100_000_000,
            description="About how much is read of a gatherer's table at once. Of each table, gatherer and shard up to "
            "three batches are in memory.",
            examples=["2000000"],
        ),
    ] = 2_000_000
    dedup_busy_milliseconds: Annotated[
        int,
        Meta(ge=1, le=60_000, description="Pause between two reads of a gatherer's table.", examples=["100"]),
    ] = 100
    dedup_idle_milliseconds: Annotated[
        int,
        Meta(
            ge=1,
            le=600_000,
            description="Longest pause between two reads, while nothing new is found.",
            examples=["1000"],
        ),
    ] = 1_000
    follow_milliseconds: Annotated[
        int,
        Meta(
            ge=1,
            le=600_000,
            description="Pause between two reads of a gatherer's journal and metadata.",
            examples=["1000"],
        ),
    ] = 1_000
    coverage_seconds: Annotated[
        int,
        Meta(ge=1, le=86_400, description="Pause between two computations of coverage.", examples=["60"]),
    ] = 60


class LakeSettings(DeduplicatorSettings, frozen=True, kw_only=True):
    lake: Annotated[
        Annotated[str, Meta(pattern=r"^(/.*|s3://[a-z0-9][a-z0-9.-]*(/.*)?)$")] | None,
        Meta(
            description="Where the Parquet files lie: a folder, or `s3://bucket/prefix`. Unset: `lake` in "
            "`KALSHI_DATA_DIR`; an archiver needs it set.",
            examples=["s3://kalshi-lake/v1"],
        ),
    ] = None
    lake_s3_endpoint: Annotated[
        Annotated[str, Meta(pattern="^https?://[^/?#@]+/?$")] | None,
        Meta(description="URL of an S3-compatible server other than Amazon's.", examples=["https://s3.example"]),
    ] = None
    lake_encryption: Annotated[
        Literal["none", "AES256", "aws:kms"],
        Meta(description="How the bucket encrypts objects.", examples=["aws:kms"]),
    ] = "AES256"
    lake_kms_key: Annotated[
        str | None,
        Meta(
            description="The key for `aws:kms`. Unset: the account's own.",
            examples=["arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
        ),
    ] = None
    lake_settle_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=86_400,
            description="An hour is exported when it has ended and received no row for this long.",
            examples=["300"],
        ),
    ] = 300


OPS_PORT = r"[a-z0-9][a-z0-9-]*=https?://[^/?#;@\s]+"

# The digest of a token that was thrown away.
EXAMPLE_TOKEN = "ada read 4f0c1b0f2a2f7a0a4a3b9a0a1b8a55d2a1f8f6c5b1d8ee1b1f3f0c1b7b4c9d11"  # noqa: S105


class AdminSettings(LakeSettings, frozen=True, kw_only=True):
    admin_tokens: Annotated[
        Tokens | None,
        Meta(
            description="Who may use the admin service: lines that `kalshi-data token` makes. Unset: it answers only "
            "on this machine, to every user of it.",
            examples=[EXAMPLE_TOKEN],
        ),
    ] = None
    admin_proxy: Annotated[
        Networks | None,
        Meta(
            description="Addresses or networks of the proxies in front of the admin service, with commas between: they "
            "are believed who asks (`X-Forwarded-For`), for which host (`X-Forwarded-Host`) and whether over TLS "
            "(`X-Forwarded-Proto`). Needs tokens. Unset: what a proxy forwards is refused.",
            examples=["127.0.0.1"],
        ),
    ] = None
    gatherer_ops: Annotated[
        Annotated[str, Meta(pattern=rf"^{OPS_PORT}([;\n]{OPS_PORT})*\n?$")] | None,
        Meta(
            description="Where the gatherers' ops ports answer, for their live state in the admin service: `name=url`, "
            "with semicolons or line ends between.",
            examples=["gatherer-1a=http://a.example:9090;gatherer-1b=http://b.example:9090"],
        ),
    ] = None

    def ops_ports(self) -> dict[str, str]:
        """Return the URLs by gatherer."""
        entries = re.findall(OPS_PORT, self.gatherer_ops or "")
        return dict(entry.split("=", 1) for entry in entries)


# A struct can have only one base, so the groups of settings form a chain.
class Settings(AdminSettings, frozen=True, kw_only=True):
    log_format: Annotated[
        LogFormat,
        Meta(
            description="`json`: one object a line; `text`: for reading; `auto`: text on a terminal, else json.",
            examples=["json"],
        ),
    ] = "auto"
    log_level: Annotated[LogLevel, Meta(description="Lowest level that is logged.", examples=["info"])] = "info"
