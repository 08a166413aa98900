"""The files of a truth, and how they are read back.

`history.jsonl` begins with the header; every line after it is one change, whose place after the header is its ordinal.
Lines are arrays with the fields of a change, told apart by their number. The file follows from the seed, the start and
the plan alone, byte by byte.

`sent/NAME.bin` holds what one connection was sent, in the order of sending, as 64-bit words in compressed blocks:
an ordinal, or a market and in the next word its snapshot's clock; the lowest bits say which, and what was sent of it.
"""

import struct
from enum import IntEnum
from pathlib import Path
from urllib.parse import quote

import msgspec

from app.simulator.changes import Change, Delta, Lifecycle, Ticker, Trade

HISTORY = "history.jsonl"
SENT = "sent"
VERSION = 1

BLOCK_HEAD = struct.Struct("<II")  # bytes of the compressed words, and their CRC
WHAT_BITS = 2
SNAPSHOT_BIT = 1 << WHAT_BITS
VALUE_SHIFT = WHAT_BITS + 1


class What(IntEnum):
    WHOLE = 0
    DUPLICATE = 1  # the same frame again, with its old seq
    ALTERED = 2
    WITHHELD = 3


WHATS = {what.name.lower(): what for what in What}


class Header(msgspec.Struct, frozen=True):
    """Enough to make the same exchange again."""

    seed: int
    markets: int
    start_us: int
    changes_per_second: int
    wire: str = "dollars"
    version: int = VERSION

    @property
    def whole_cents(self) -> bool:
        return self.wire == "cents"


CHANGE_TYPES: dict[int, type[Change]] = {len(kind._fields): kind for kind in (Delta, Trade, Ticker, Lifecycle)}


def sent_file(folder: Path, connection: str) -> Path:
    """Whatever characters a connection's name is made of."""
    return folder / f"{quote(connection, safe='')}.bin"
