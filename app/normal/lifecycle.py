from collections import OrderedDict

import msgspec

from app.kalshi.records import EventFeeUpdate, EventLifecycle, Lifecycle
from app.normal.digest import digest64
from app.normal.lineage import NO_SEQ
from app.normal.times import sent_us
from app.normal.unfit import UnfitMessageError
from app.store.tables import Row

# Keys sorted, numbers with the digits they came with: the same facts are the same bytes.
_encode = msgspec.json.Encoder(order="deterministic", decimal_format="number").encode
# These messages carry no event_type: they are one.
EVENT_TYPES: dict[type[Lifecycle], str] = {EventLifecycle: "event_lifecycle", EventFeeUpdate: "event_fee_update"}
REPETITION_US = 60_000_000

Announcement = tuple[str, str, int]


def lifecycle_row(message: Lifecycle, received_us: int, conn: int, repetitions: "Repetitions") -> Row:
    body = message.msg
    event_type = EVENT_TYPES.get(type(message)) or _text(body, "event_type")
    ticker = _text(body, "event_ticker" if type(message) in EVENT_TYPES else "market_ticker")
    payload = _encode(body)
    digest = digest64(payload)
    seq = NO_SEQ if message.seq is None else message.seq
    announced_us = sent_us(message.sending_ts_ms, received_us)
    nth = repetitions.nth((ticker, event_type, digest), announced_us)
    return (announced_us, received_us, digest, nth, ticker, event_type, payload, conn, message.sid, seq)


def _text(body: dict[str, object], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise UnfitMessageError(f"it says no {key}")
    return value


class Repetitions:
    """Counts equal announcements on one connection, each within a minute of the one before.

    Copies on several connections carry different times, so no time tells an announcement from its repetition: its
    number does. After a quiet minute it is a new announcement, and every connection counts anew.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._latest: OrderedDict[Announcement, tuple[int, int]] = OrderedDict()

    def nth(self, announcement: Announcement, announced_us: int) -> int:
        before_us, before = self._latest.pop(announcement, (announced_us, -1))
        number = before + 1 if announced_us - before_us <= REPETITION_US else 0
        self._latest[announcement] = (announced_us, number)
        if len(self._latest) > self._capacity:
            self._latest.popitem(last=False)
        return number
