"""Record what one socket of a rehearsal receives, in order, parsed by the platform's own stream, for the verdicts."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from app.kalshi.messages import Error, Message, OrderbookDelta, OrderbookSnapshot, Subscribed, Ticker, Trade, Unknown
from app.normalize.stream import SequenceGap, Stream
from app.rehearsal.known_fields import unknown_in_frame
from app.storage.tables import Row
from app.subscriptions.commands import Command, CommandKind, Commands

MOST_KEPT = 200_000
SAMPLES = 3
LOOKED_AT = 1_000  # number of frames of each type whose fields are checked
MOST_UNFIT = 100


class Heard(NamedTuple):
    received_us: int
    message: Message
    row: Row | None


class RoundTrip(NamedTuple):
    """A command and its answer."""

    command: Command
    answered_us: int
    sending_ts_ms: int | None


class SocketRecord:
    """The record of one socket. It keeps tickers only of the wanted markets, and at most MOST_KEPT messages in all."""

    def __init__(self, conn: int, wanted: Iterable[str]) -> None:
        self.conn = conn
        self.commands = Commands()
        self.heard: list[Heard] = []
        self.gaps: list[SequenceGap] = []
        self.round_trips: list[RoundTrip] = []
        self.errors: list[Error] = []
        self.unfit: list[Unknown] = []
        self.sids: dict[str, int] = {}
        self.counts: Counter[str] = Counter()
        self.unknown_fields: defaultdict[str, set[str]] = defaultdict(set)
        self.samples: defaultdict[str, list[bytes]] = defaultdict(list)
        self.markets: defaultdict[str, set[str]] = defaultdict(set)  # markets seen, by message type
        self.asked = 0  # number of commands queued to be sent
        self.shown_again = 0  # number of requested books that were received
        self.pings = 0
        self.quiet_seconds = 0.0  # the longest time without a ping
        self.ended: str | None = None  # why it ended before it was stopped
        self._wanted = frozenset(wanted)
        self._stream = Stream(conn)

    @property
    def is_full(self) -> bool:
        return len(self.heard) >= MOST_KEPT

    def take(self, frame: bytes, received_us: int) -> None:
        message, row, gap = self._stream.read(frame, received_us)
        if gap is not None:
            self.gaps.append(gap)
            self._stream.begin_gap(gap.sid)
            message, row = self._stream.row(frame, message, received_us)
        kind = _kind(message)
        self.counts[kind] += 1
        self._look_at(kind, frame)
        self._note(message, received_us)
        if isinstance(message, Unknown) and len(self.unfit) < MOST_UNFIT:
            self.unfit.append(message)
        ticker = market_of(message)
        if ticker is not None:
            self.markets[kind].add(ticker)
        if not self.is_full and not (isinstance(message, Ticker) and ticker not in self._wanted):
            self.heard.append(Heard(received_us, message, row))

    def _look_at(self, kind: str, frame: bytes) -> None:
        if self.counts[kind] > LOOKED_AT:
            return
        told, unknown = unknown_in_frame(frame)
        if unknown:
            self.unknown_fields[told] |= unknown
        if len(self.samples[kind]) < SAMPLES:
            self.samples[kind].append(frame)

    def _note(self, message: Message, received_us: int) -> None:
        number = getattr(message, "id", None)
        command = self.commands.answered(number)
        if command is not None:
            sending_ts_ms = getattr(message, "sending_ts_ms", None)
            self.round_trips.append(RoundTrip(command, received_us, sending_ts_ms))
        if isinstance(message, Subscribed):
            self.sids[message.msg.channel] = message.msg.sid
        elif isinstance(message, Error):
            self.errors.append(message)
        elif isinstance(message, OrderbookSnapshot) and number is not None:
            self.shown_again += 1


def market_of(message: Message) -> str | None:
    """Return the market of a book, change, ticker or trade; None for other messages."""
    if isinstance(message, OrderbookDelta | OrderbookSnapshot | Ticker | Trade):
        return message.msg.market_ticker
    return None


def of_type(heard: Iterable[Heard], *types: type) -> Iterator[Heard]:
    return (each for each in heard if isinstance(each.message, types))


def rows_of(heard: Iterable[Heard], *types: type) -> list[Row]:
    return [each.row for each in of_type(heard, *types) if each.row is not None]


def is_answered(record: SocketRecord) -> bool:
    """Return whether everything requested has been received. Safe to call while another thread adds to the record."""
    trips = list(record.round_trips)
    books = sum(len(trip.command.tickers) for trip in trips if trip.command.kind is CommandKind.SNAPSHOT)
    return len(trips) >= record.asked and record.shown_again >= books


def _kind(message: Message) -> str:
    """Return the exchange's name of the message's type."""
    if isinstance(message, Unknown):
        return f"unfit {message.type or 'frame'}"
    return str(message.__struct_config__.tag)
