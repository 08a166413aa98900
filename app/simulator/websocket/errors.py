"""The exchange's error codes, in its words. 6, 16 and 17 belong to the older wire alone."""

from enum import IntEnum


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
    """A command that is answered with an error; the connection lives on."""

    def __init__(self, code: Code, command_id: int = 0) -> None:
        super().__init__(TEXTS[code])
        self.code = code
        self.command_id = command_id
