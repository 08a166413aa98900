from typing import NamedTuple


class Limits(NamedTuple):
    """What one client may take. The documented numbers, where there are any."""

    connections_per_user: int = 200
    markets_per_session: int = 500_000
    commands_per_second: int = 10_000
    buffer_frames: int = 10_000  # a subscription's; the exchange keeps its own number to itself
    heartbeat_seconds: float = 10.0
