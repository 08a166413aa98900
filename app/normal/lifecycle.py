from collections import OrderedDict
from typing import NamedTuple

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
# Copies of one announcement carry times that are no further apart; app/merge/rules.py looks as far between gatherers.
COPIES_US = 5_000_000
REPETITION_US = 60_000_000
MOST_REPETITIONS = 100

Announcement = tuple[str, str, int]
Line = tuple[int, str]  # the number of a connection, and the channel


def lifecycle_row(message: Lifecycle, received_us: int, line: Line, repetitions: "Repetitions") -> Row:
    body = message.msg
    event_type = EVENT_TYPES.get(type(message)) or _text(body, "event_type")
    ticker = _text(body, "event_ticker" if type(message) in EVENT_TYPES else "market_ticker")
    payload = _encode(body)
    digest = digest64(payload)
    seq = NO_SEQ if message.seq is None else message.seq
    announced_us = sent_us(message.sending_ts_ms, received_us)
    nth = repetitions.nth((ticker, event_type, digest), line, announced_us)
    return (announced_us, received_us, digest, nth, ticker, event_type, payload, line[0], message.sid, seq)


def _text(body: dict[str, object], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise UnfitMessageError(f"it says no {key}")
    return value


class Repetitions:
    """Numbers equal announcements as one gatherer heard them, on all its connections and all their sockets.

    Copies on several lines carry different times, so no time tells an announcement from its repetition: on one line it
    is another announcement, also after the line was cut and heard again; on another one, within seconds of one that
    this line has not brought yet, it is the copy of the nearest such. What makes a line is its number and what is
    subscribed to, not the socket.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._latest: OrderedDict[Announcement, list[_Told]] = OrderedDict()

    def nth(self, announcement: Announcement, line: Line, announced_us: int) -> int:
        """Return its number; announcements that are no copies of each other have different ones within a minute."""
        told = [
            each
            for each in self._latest.pop(announcement, ())[-MOST_REPETITIONS:]
            if abs(announced_us - each.announced_us) <= REPETITION_US
        ]
        self._latest[announcement] = told
        if len(self._latest) > self._capacity:
            self._latest.popitem(last=False)
        copies = [each for each in told if each.is_copied_by(line, announced_us)]
        if copies:
            nearest = min(copies, key=lambda each: abs(announced_us - each.announced_us))
            nearest.lines.append(line)
            return nearest.number
        number = 1 + max((each.number for each in told), default=-1)
        told.append(_Told(announced_us, number, [line]))
        return number


class _Told(NamedTuple):
    announced_us: int
    number: int
    lines: list[Line]

    def is_copied_by(self, line: Line, announced_us: int) -> bool:
        return line not in self.lines and abs(announced_us - self.announced_us) <= COPIES_US
