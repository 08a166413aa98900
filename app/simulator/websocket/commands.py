"""What a client may ask for: its JSON to a checked command, or the error that the exchange gives."""

from typing import Any, NamedTuple

import msgspec

from app.simulator.websocket.errors import Code, CommandError

SILENT_CHANNELS = frozenset(
    {
        "fill",
        "market_positions",
        "communications",
        "order_group_updates",
        "user_orders",
        "cfbenchmarks_value",
        "cfbenchmarks_value_5hz",
        "pyth_value",
    }
)
MARKET_CHANNELS = frozenset({"orderbook_delta", "ticker", "trade"})
CHANNELS = MARKET_CHANNELS | SILENT_CHANNELS | {"market_lifecycle_v2", "multivariate_market_lifecycle"}
CENTS_CHANNELS = MARKET_CHANNELS | {
    "fill",
    "market_positions",
    "communications",
    "multivariate",
    "market_lifecycle_v2",
    "market_lifecycle",
}
ACTIONS = ("add_markets", "delete_markets", "get_snapshot")


class Params(msgspec.Struct, kw_only=True):
    channels: list[str] | None = None
    sid: int | None = None
    sids: list[int] | None = None
    action: str | None = None
    market_ticker: str | None = None
    market_tickers: list[str] | None = None
    market_id: str | None = None
    market_ids: list[str] | None = None
    send_initial_snapshot: bool = False
    skip_ticker_ack: bool = False
    use_yes_price: bool = False
    shard_factor: int | None = None
    shard_key: int | None = None

    def tickers(self) -> list[str]:
        return [self.market_ticker] if self.market_ticker is not None else self.market_tickers or []

    def market_numbers(self) -> list[str]:
        return [self.market_id] if self.market_id is not None else self.market_ids or []


class Subscribe(NamedTuple):
    command_id: int
    channels: list[str]
    params: Params


class Unsubscribe(NamedTuple):
    command_id: int
    sids: list[int]


class Update(NamedTuple):
    command_id: int
    sid: int
    action: str
    params: Params


class ListSubscriptions(NamedTuple):
    command_id: int


Command = Subscribe | Unsubscribe | Update | ListSubscriptions


def parse(text: bytes, channels: frozenset[str]) -> Command:
    raw = _decode(text)
    number = raw.get("id", 0)
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise CommandError(Code.INVALID_PARAMETER)
    try:
        return _command(raw, number, channels)
    except CommandError as error:
        raise CommandError(error.code, number) from None


def _decode(text: bytes) -> dict[str, Any]:
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise CommandError(Code.UNPROCESSABLE) from None
    if not isinstance(raw, dict):
        raise CommandError(Code.UNPROCESSABLE)
    return raw


def _command(raw: dict[str, Any], number: int, channels: frozenset[str]) -> Command:
    name = raw.get("cmd")
    if name == "list_subscriptions":
        return ListSubscriptions(number)
    if name not in ("subscribe", "unsubscribe", "update_subscription"):
        raise CommandError(Code.UNKNOWN_COMMAND)
    if not isinstance(raw.get("params"), dict):
        raise CommandError(Code.PARAMS_REQUIRED)
    try:
        params = msgspec.convert(raw["params"], Params)
    except msgspec.ValidationError:
        raise CommandError(Code.INVALID_PARAMETER) from None
    if name == "subscribe":
        return _subscribe(number, params, channels)
    return _unsubscribe(number, params) if name == "unsubscribe" else _update(number, params)


def _subscribe(number: int, params: Params, channels: frozenset[str]) -> Subscribe:
    if not params.channels:
        raise CommandError(Code.CHANNELS_REQUIRED)
    if not channels.issuperset(params.channels):
        raise CommandError(Code.UNKNOWN_CHANNEL)
    _check_markets(params, ticker_only=set(params.channels) == {"ticker"})
    _check_shards(params)
    if "orderbook_delta" in params.channels and not params.tickers():
        raise CommandError(Code.MARKET_REQUIRED)
    return Subscribe(number, list(dict.fromkeys(params.channels)), params)


def _unsubscribe(number: int, params: Params) -> Unsubscribe:
    if not params.sids:
        raise CommandError(Code.SIDS_REQUIRED)
    return Unsubscribe(number, params.sids)


def _update(number: int, params: Params) -> Update:
    sids = [*(params.sids or []), *([] if params.sid is None else [params.sid])]
    if len(sids) != 1:
        raise CommandError(Code.EXACTLY_ONE_SID)
    if not params.action:
        raise CommandError(Code.ACTION_REQUIRED)
    if params.action not in ACTIONS:
        raise CommandError(Code.UNSUPPORTED_ACTION)
    _check_markets(params, ticker_only=True)
    if not params.tickers() and (params.action == "get_snapshot" or not params.market_numbers()):
        raise CommandError(Code.MARKET_REQUIRED)
    return Update(number, sids[0], params.action, params)


def _check_markets(params: Params, *, ticker_only: bool) -> None:
    given = [params.market_ticker, params.market_tickers, params.market_id, params.market_ids]
    by_number = params.market_id is not None or params.market_ids is not None
    if sum(value is not None for value in given) > 1 or (by_number and not ticker_only):
        raise CommandError(Code.INVALID_PARAMETER)


def _check_shards(params: Params) -> None:
    factor, key = params.shard_factor, params.shard_key
    if factor is None:
        if key is not None:
            raise CommandError(Code.SHARD_FACTOR_REQUIRED)
    elif factor <= 0:
        raise CommandError(Code.SHARD_FACTOR_TOO_SMALL)
    elif factor > 100:
        raise CommandError(Code.SHARD_FACTOR_TOO_LARGE)
    elif key is not None and not 0 <= key < factor:
        raise CommandError(Code.SHARD_KEY_OUT_OF_RANGE)
