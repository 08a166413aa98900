"""What the exchange's error codes mean to a recorder."""

ALREADY_SUBSCRIBED = 6  # the older wire's
UNKNOWN_SID = 7
UNKNOWN_CHANNEL = 8
AUTHENTICATION_REQUIRED = 9
CHANNEL_ERROR = 10
COMMAND_TIMEOUT = 18
BUFFER_OVERFLOW = 25
MARKET_LIMIT = 26
COMMAND_LIMIT = 27

# The subscription is over, and whatever the exchange could not send before is lost.
CAUSES = {CHANNEL_ERROR: "channel_error", BUFFER_OVERFLOW: "overflow"}
LATER = frozenset({COMMAND_TIMEOUT, COMMAND_LIMIT})
