import re
from typing import Annotated

from msgspec import Meta

from app.postgres.dsn import Dsn
from app.secret import Secret
from app.settings.gatherer import GathererSettings

ENTRY = re.compile(r"([a-z0-9][a-z0-9-]*)=(\S.*)")


class GathererDsns(Secret):
    """Connection strings by gatherer: `name=dsn`, with semicolons or line ends between."""

    __slots__ = ()

    def __init__(self, value: str) -> None:
        entries = [ENTRY.fullmatch(entry.strip()) for entry in re.split(r"[;\n]", value) if entry.strip()]
        if not entries or None in entries:
            raise ValueError("not made of name=dsn with semicolons or line ends between")
        names = [entry[1] for entry in entries if entry]
        if len(set(names)) < len(names):
            raise ValueError("one name stands for two gatherers")
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
        Meta(ge=1, le=60_000, description="Pause before a gatherer's table is read on.", examples=["100"]),
    ] = 100
    dedup_idle_milliseconds: Annotated[
        int,
        Meta(
            ge=1,
            le=600_000,
            description="To which that pause grows while nothing new is found.",
            examples=["1000"],
        ),
    ] = 1_000
