"""Order book deltas as fast as a client reads them: for measuring readers, not for producing a history.

A block of frames is encoded once. Only the sequence number changes in it, and the exchange's clock, which is the same
number: its last three digits are fixed by the frame's place in the block, and the digits before them are the block's
number, the same in every frame. So the next block is one join of constant pieces with that number.
"""

from collections.abc import Iterator
from itertools import islice

from app.simulator.market.catalog import MarketName, MarketNames
from app.simulator.websocket.framing import frame
from app.simulator.websocket.subscription import SimSubscription

BLOCK_FRAMES = 1_000
MARKETS = 200
KEPT_BLOCKS = 64
NUMBER = b"\0"
# Above every clock that a snapshot may show, and still growing with the number behind it.
CLOCK_START = b"1000000000"
TIME = b"1111111111111"  # as many digits as milliseconds since 1970 have


class Blast:
    """Source of encoded blocks of deltas, shared by all connections."""

    def __init__(self, names: MarketNames) -> None:
        self._names = names
        self._pieces: dict[tuple[int, tuple[int, ...], int], list[bytes]] = {}
        self._blocks: dict[tuple[int, tuple[int, ...], int], bytes] = {}

    def next_block(self, subscription: SimSubscription, now_ms: int) -> tuple[bytes, int]:
        """Return the frames from the subscription's next number to the end of a block, and how many they are."""
        first = subscription.seq + 1
        number, place = divmod(first, BLOCK_FRAMES)
        markets = tuple(islice(subscription.markets, MARKETS))
        if place or not number:
            frames = list(self._frames(subscription.sid, markets, b"%d" % number if number else b""))[place:]
            data = b"".join(frames)
        else:
            frames, data = [b""] * BLOCK_FRAMES, self._block(subscription.sid, markets, number)
        return data.replace(TIME, b"%d" % now_ms), len(frames)

    def _block(self, sid: int, markets: tuple[int, ...], number: int) -> bytes:
        # Clients that read side by side are at the same block: cached blocks are shared.
        key = (sid, markets, number)
        block = self._blocks.get(key)
        if block is None:
            text = b"%d" % number
            block = self._blocks[key] = text.join(self._pieces_of(sid, markets, len(text)))
            if len(self._blocks) > KEPT_BLOCKS:
                del self._blocks[next(iter(self._blocks))]
        return block

    def _pieces_of(self, sid: int, markets: tuple[int, ...], digits: int) -> list[bytes]:
        """Return the constant pieces between the places of the block's number.

        They depend on how many digits the number has, but not on the digits themselves.
        """
        key = (sid, markets, digits)
        if key not in self._pieces:
            mark = NUMBER * digits
            self._pieces[key] = b"".join(self._frames(sid, markets, mark)).split(mark)
        return self._pieces[key]

    def _frames(self, sid: int, markets: tuple[int, ...], number: bytes) -> Iterator[bytes]:
        names = [self._names.of(market) for market in markets]
        for place in range(BLOCK_FRAMES):
            # In pairs that cancel each other out: the book stays valid indefinitely.
            name, sign = names[place // 2 % len(names)], "-" if place % 2 else ""
            count = number + (b"%03d" % place if number else b"%d" % place)
            yield frame(_delta(name, sid, count, sign))


def _delta(name: MarketName, sid: int, count: bytes, sign: str) -> bytes:
    return (
        b'{"type":"orderbook_delta","sid":%d,"seq":%b,"sending_ts_ms":%b,"msg":{"market_ticker":"%b","market_id":"%b",'
        b'"clock":%b%b,"price_dollars":"0.4200","delta_fp":"%b13.00","side":"yes","ts_ms":%b}}'
    ) % (sid, count, TIME, name.ticker.encode(), name.market_id.encode(), CLOCK_START, count, sign.encode(), TIME)
