from app.subscriptions.journal import Gap
from app.subscriptions.patience import SECOND_US
from app.subscriptions.roles import EARLIER_NAMES

UNKNOWN_US = 300 * SECOND_US


class Channel:
    """One channel of a connection, over all of its sockets."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sid: int | None = None
        self.is_wanted = True  # not if this exchange is of a time before it had the channel
        self._names: tuple[str, ...] = (name, *EARLIER_NAMES.get(name, ()))
        self._asked = 0  # which of them
        self._unknown_in_row = 0
        self.is_listened_to = False
        self.gap: Gap | None = None
        self.heard_us = 0
        self.subscribe_from_us = 0  # one that ends as soon as it begins is not begun again at once

    @property
    def asked_name(self) -> str:
        """What it is asked for by: the exchange may be of a time when it had another name."""
        return self._names[self._asked]

    def is_called(self, name: str) -> bool:
        return name in self._names

    def is_not_known(self, now_us: int) -> bool:
        """The exchange says so. Return True when it knows none of the names; then it is asked again after a while."""
        self._asked = (self._asked + 1) % len(self._names)
        self._unknown_in_row += 1
        if self._unknown_in_row < len(self._names):
            return False
        self._unknown_in_row = 0
        self.subscribe_from_us = now_us + UNKNOWN_US
        return True

    def is_subscribed(self, sid: int, heard_us: int, now_us: int) -> None:
        """From when on it hears, in the exchange's time, and when that was by the clock of timers."""
        self.sid, self.heard_us, self.is_wanted = sid, heard_us, True
        self.subscribe_from_us = now_us + SECOND_US
        self._unknown_in_row = 0
