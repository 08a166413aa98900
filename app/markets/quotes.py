"""The latest quotes and the titles of markets, in compact columns.

Quotes come from the ticker stream, and from REST for markets whose tickers were not received lately.
"""

import zlib
from array import array
from collections import defaultdict
from collections.abc import Callable
from operator import itemgetter

import msgspec

from app.markets.market import LAG_US, Quote
from app.storage.tables import TICKERS, Row

MOST_UNPACKED = 10_000
NO_PRICE = -1
NO_VOLUME = -(2**63)
NEVER = 0

_position = TICKERS.column_names.index
CONN = _position("conn")
_ticker_of = itemgetter(_position("ticker"))
_told_in = itemgetter(
    *map(_position, ("yes_bid_e6", "yes_ask_e6", "price_e6", "volume_e2", "exchange_ts", "received_at"))
)


class Quotes:
    """The latest quote of each market, in columns by the market's slot.

    apply_tickers() runs for every ticker message, so it only keeps the rows that were made for the database anyway, the
    latest of each market and connection. They are packed into the columns only when they become many: a market that is
    quoted a thousand times is packed once. One connection may be behind the other, so each has latest rows of its own.
    """

    def __init__(self, slot_of: Callable[[str], int | None]) -> None:
        self._slot_of = slot_of
        # Bounded: two connections carry tickers, and each holds at most MOST_UNPACKED rows and one batch more.
        self._heard: defaultdict[int, dict[str, Row]] = defaultdict(dict)
        self._yes_bid = array("i")
        self._yes_ask = array("i")
        self._last_price = array("i")
        self._volume = array("q")
        self._quoted = array("q")

    def apply_tickers(self, rows: list[Row]) -> None:
        """Take ticker rows of one connection."""
        heard = self._heard[rows[0][CONN]]
        heard.update(zip(map(_ticker_of, rows), rows, strict=True))
        if len(heard) > MOST_UNPACKED:
            self._pack(heard)

    def apply_rest(self, ticker: str, slot: int, quote: Quote, now_us: int) -> None:
        """Take a quote that REST shows, unless a newer one is known.

        REST's answers come through a cache: a quote from the stream of the last LAG_US may be newer.
        """
        shown_us = now_us - LAG_US
        known_us = self.of(ticker, slot).quoted_us
        if known_us is None or known_us < shown_us:
            self._store(slot, *quote._replace(quoted_us=shown_us))

    def of(self, ticker: str, slot: int) -> Quote:
        """Return the market's latest quote."""
        quote = self._stored(slot)
        for heard in self._heard.values():
            row = heard.get(ticker)
            if row is not None:
                bid_e6, ask_e6, last_e6, volume_e2, happened_us, received_us = _told_in(row)
                told = Quote(bid_e6, ask_e6, last_e6, volume_e2, _not_ahead_us(happened_us, received_us))
                quote = max(quote, told, key=_quoted_us)
        return quote

    def clear(self, slot: int) -> None:
        """Reset the slot for its next market."""
        missing = slot + 1 - len(self._quoted)
        if missing > 0:
            for column in (self._yes_bid, self._yes_ask, self._last_price, self._volume, self._quoted):
                column.extend([NEVER] * missing)
        self._quoted[slot] = NEVER

    def _pack(self, heard: dict[str, Row]) -> None:
        slot_of, quoted, store = self._slot_of, self._quoted, self._store
        for ticker, row in heard.items():
            slot = slot_of(ticker)
            if slot is not None:
                bid_e6, ask_e6, last_e6, volume_e2, happened_us, received_us = _told_in(row)
                quoted_us = _not_ahead_us(happened_us, received_us)
                if quoted_us >= quoted[slot]:
                    store(slot, bid_e6, ask_e6, last_e6, volume_e2, quoted_us)
        heard.clear()

    def _store(
        self,
        slot: int,
        bid_e6: int | None,
        ask_e6: int | None,
        last_e6: int | None,
        volume_e2: int | None,
        quoted_us: int | None,
    ) -> None:
        self._yes_bid[slot] = NO_PRICE if bid_e6 is None else bid_e6
        self._yes_ask[slot] = NO_PRICE if ask_e6 is None else ask_e6
        self._last_price[slot] = NO_PRICE if last_e6 is None else last_e6
        self._volume[slot] = NO_VOLUME if volume_e2 is None else volume_e2
        self._quoted[slot] = NEVER if quoted_us is None else quoted_us

    def _stored(self, slot: int) -> Quote:
        quoted_us = self._quoted[slot]
        if quoted_us == NEVER:
            return Quote()
        volume_e2 = self._volume[slot]
        return Quote(
            _price_e6(self._yes_bid[slot]),
            _price_e6(self._yes_ask[slot]),
            _price_e6(self._last_price[slot]),
            None if volume_e2 == NO_VOLUME else volume_e2,
            quoted_us,
        )


def _not_ahead_us(happened_us: int, received_us: int) -> int:
    """Return the time of a quote, at most that of its receipt: a wrong future time would outlast later quotes."""
    return happened_us if happened_us < received_us else received_us


def _price_e6(stored: int) -> int | None:
    return None if stored == NO_PRICE else stored


def _quoted_us(quote: Quote) -> int:
    return quote.quoted_us or NEVER


# Titles of a million markets, in a few dozen bytes each.

TITLES_PER_BLOCK = 64
FASTEST = 1

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[str]).decode


class PackedTitles:
    """Titles by their market's slot, compressed in blocks of neighbours.

    Markets listed one after the other have similar titles, and compressing each title alone would spend most of the
    time on starting the compressor. A walk over all markets fills slot after slot: the block being written stays
    unpacked, so that each block is packed once. The block that was read last stays unpacked too.
    """

    def __init__(self) -> None:
        self._blocks: list[bytes] = []  # bounded by the slots
        self._written: tuple[int, list[str]] | None = None
        self._read: tuple[int, list[str]] | None = None

    def __getitem__(self, slot: int) -> str:
        number, place = divmod(slot, TITLES_PER_BLOCK)
        if self._written is not None and self._written[0] == number:
            return self._written[1][place]
        if self._read is None or self._read[0] != number:
            self._read = number, self._unpacked(number)
        return self._read[1][place]

    def __setitem__(self, slot: int, title: str) -> None:
        number, place = divmod(slot, TITLES_PER_BLOCK)
        if self._written is None or self._written[0] != number:
            self._pack()
            self._written = number, self._unpacked(number)
        if self._read is not None and self._read[0] == number:
            self._read = None
        self._written[1][place] = title

    def _pack(self) -> None:
        if self._written is not None:
            number, titles = self._written
            self._blocks.extend([b""] * (number + 1 - len(self._blocks)))
            self._blocks[number] = zlib.compress(_encode(titles), FASTEST)

    def _unpacked(self, number: int) -> list[str]:
        packed = self._blocks[number] if number < len(self._blocks) else b""
        return _decode(zlib.decompress(packed)) if packed else [""] * TITLES_PER_BLOCK
