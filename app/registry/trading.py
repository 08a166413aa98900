"""Whether a market trades now. The exchange says it of no market, but of each of its shards."""

from app.kalshi.exchange_status import ExchangeStatus
from app.registry.market import Market, TradingStatus

FIRST_SHARD = 0


def trading_status(market: Market, exchange: ExchangeStatus | None) -> TradingStatus:
    if market.status != "active":
        return "not_open"
    if exchange is None:
        return "unknown"
    shard = exchange.shard(FIRST_SHARD if market.exchange_index is None else market.exchange_index)
    return "trading" if shard.exchange_active and shard.trading_active else "halted"
