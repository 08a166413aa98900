"""The commands of clients: decodes JSON to a checked command, or to the error that the exchange answers."""

from enum import IntEnum
from typing import Any, NamedTuple

import msgspec

# The exchange's error codes, in its words. 6, 16 and 17 exist on the older wire only.


class Code(IntEnum):
    UNPROCESSABLE = 1
    PARAMS_REQUIRED = 2
    CHANNELS_REQUIRED = 3
    SIDS_REQUIRED = 4
    UNKNOWN_COMMAND = 5
    ALREADY_SUBSCRIBED = 6
    UNKNOWN_SID = 7
    UNKNOWN_CHANNEL = 8
    CHANNEL_ERROR = 10
    INVALID_PARAMETER = 11
    EXACTLY_ONE_SID = 12
    UNSUPPORTED_ACTION = 13
    MARKET_REQUIRED = 14
    ACTION_REQUIRED = 15
    COMMAND_TIMEOUT = 18
    SHARD_FACTOR_TOO_SMALL = 19
    SHARD_FACTOR_REQUIRED = 20
    SHARD_KEY_OUT_OF_RANGE = 21
    SHARD_FACTOR_TOO_LARGE = 22
    BUFFER_OVERFLOW = 25
    MARKET_LIMIT_EXCEEDED = 26
    TOO_MANY_COMMANDS = 27


TEXTS = {
    Code.UNPROCESSABLE: "Unable to process message",
    Code.PARAMS_REQUIRED: "Params required",
    Code.CHANNELS_REQUIRED: "Channels required",
    Code.SIDS_REQUIRED: "Subscription IDs required",
    Code.UNKNOWN_COMMAND: "Unknown command",
    Code.ALREADY_SUBSCRIBED: "Already subscribed",
    Code.UNKNOWN_SID: "Unknown subscription ID",
    Code.UNKNOWN_CHANNEL: "Unknown channel name",
    Code.CHANNEL_ERROR: "Channel error",
    Code.INVALID_PARAMETER: "Invalid parameter",
    Code.EXACTLY_ONE_SID: "Exactly one subscription ID is required",
    Code.UNSUPPORTED_ACTION: "Unsupported action",
    Code.MARKET_REQUIRED: "Market Ticker required",
    Code.ACTION_REQUIRED: "Action required",
    Code.COMMAND_TIMEOUT: "Command timeout",
    Code.SHARD_FACTOR_TOO_SMALL: "shard_factor must be > 0",
    Code.SHARD_FACTOR_REQUIRED: "shard_factor is required when shard_key is set",
    Code.SHARD_KEY_OUT_OF_RANGE: "shard_key must be >= 0 and < shard_factor",
    Code.SHARD_FACTOR_TOO_LARGE: "shard_factor must be <= 100",
    Code.BUFFER_OVERFLOW: "Subscription buffer overflow",
    Code.MARKET_LIMIT_EXCEEDED: "Subscription market limit exceeded",
    Code.TOO_MANY_COMMANDS: "Too many requests",
}


class CommandError(Exception):
    """A command that is answered with an error; the connection stays open."""

    def __init__(self, code: Code, command_id: int = 0) -> None:
        super().__init__(TEXTS[code])
        self.code = code
        self.command_id = command_id


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
    """Return the command.

    Raise CommandError if the exchange would refuse it, with the command's id where it is readable.
    """
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
