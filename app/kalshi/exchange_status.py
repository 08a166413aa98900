from datetime import datetime

import msgspec


class ShardStatus(msgspec.Struct, frozen=True):
    exchange_index: int
    exchange_active: bool
    trading_active: bool
    description: str = ""


class ExchangeStatus(msgspec.Struct, frozen=True):
    """Whether the exchange runs. Its own two flags are those of shard 0; the others may be listed, or not."""

    exchange_active: bool
    trading_active: bool
    exchange_estimated_resume_time: str | None = None
    exchange_index_statuses: list[ShardStatus] | None = None

    @property
    def any_active(self) -> bool:
        """Whether there is anything to record: trading halted still is."""
        return any(shard.exchange_active for shard in self.shards())

    @property
    def any_trading(self) -> bool:
        return any(shard.trading_active for shard in self.shards())

    def shard(self, exchange_index: int) -> ShardStatus:
        """Of a shard that is not listed, the exchange's own flags are the best that is known."""
        listed = {shard.exchange_index: shard for shard in self.shards()}
        return listed.get(exchange_index) or ShardStatus(exchange_index, self.exchange_active, self.trading_active)

    def resume_seconds(self, now: datetime) -> float:
        """Until the exchange expects to be back; 0 if it does not say, or should be back already."""
        try:
            resume = msgspec.convert(self.exchange_estimated_resume_time, datetime)
        except msgspec.ValidationError:
            return 0
        # What comes without a zone is UTC like every other time of the exchange.
        return max((resume.replace(tzinfo=resume.tzinfo or now.tzinfo) - now).total_seconds(), 0)

    def shards(self) -> list[ShardStatus]:
        return self.exchange_index_statuses or [ShardStatus(0, self.exchange_active, self.trading_active)]


def status_in(body: bytes) -> ExchangeStatus | None:
    """A status, which also comes with 500, 503 and 504; None where the body is something else."""
    try:
        return msgspec.json.decode(body, type=ExchangeStatus)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
