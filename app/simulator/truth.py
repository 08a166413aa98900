"""The ground truth: the exchange's own history, and what was sent of it on each connection.

`history.jsonl` begins with the header; every line after it is one change, whose place after the header is its ordinal.
Lines are arrays with the fields of a change; the kinds of changes differ in their number of fields. The file is
determined by the seed, the start and the plan alone, byte by byte.

`sent/NAME.bin` holds what one connection was sent, in the order of sending, as 64-bit words in compressed blocks: an
ordinal, or a market followed by a word with its snapshot's clock. The lowest bits of a word give its kind and what was
sent of it.
"""

import struct
import zlib
from array import array
from collections.abc import Iterator
from enum import IntEnum
from functools import partial
from io import RawIOBase
from pathlib import Path
from urllib.parse import quote, unquote

import msgspec

from app.errors import OperatorError
from app.simulator.market.catalog import Catalog
from app.simulator.market.changes import Change, SimDelta, SimLifecycle, SimTicker, SimTrade
from app.simulator.market.profiles import QUIET

HISTORY = "history.jsonl"
SENT = "sent"
VERSION = 1

BLOCK_HEAD = struct.Struct("<II")  # bytes of the compressed words, and their CRC
WHAT_BITS = 2
SNAPSHOT_BIT = 1 << WHAT_BITS
VALUE_SHIFT = WHAT_BITS + 1


class SentAs(IntEnum):
    """How much of a change or snapshot was sent."""

    WHOLE = 0
    DUPLICATE = 1  # the same frame again, with its old seq
    ALTERED = 2
    WITHHELD = 3


SENT_AS = {what.name.lower(): what for what in SentAs}


class Header(msgspec.Struct, frozen=True):
    """The parameters of a run: enough to create the same exchange again."""

    seed: int
    markets: int
    start_us: int
    changes_per_second: int
    wire: str = "dollars"
    profile: str = QUIET
    version: int = VERSION

    def catalog(self) -> Catalog:
        return Catalog(self.seed, self.markets, self.start_us, whole_cents=self.whole_cents, profile=self.profile)

    @property
    def whole_cents(self) -> bool:
        return self.wire == "cents"


CHANGE_TYPES: dict[int, type[Change]] = {
    len(kind._fields): kind for kind in (SimDelta, SimTrade, SimTicker, SimLifecycle)
}


def sent_file(folder: Path, connection: str) -> Path:
    """Return the file of a connection, whatever characters its name contains."""
    return folder / f"{quote(connection, safe='')}.bin"


NEWLINE = ord("\n")
FLUSH_BYTES = 1_000_000
FLUSH_WORDS = 100_000


class Truth:
    """Writer of the history and of what was sent.

    The simulator flushes it once a second: no more than that is ever lost.
    """

    def __init__(self, folder: Path, header: Header) -> None:
        if (folder / HISTORY).exists():
            raise OperatorError(
                f"{folder} already holds the truth of another run.", fix="name a new folder, or remove that one."
            )
        self._sent_folder = folder / SENT
        try:
            self._sent_folder.mkdir(parents=True)
            self._file = (folder / HISTORY).open("ab", buffering=0)
        except OSError as error:
            raise OperatorError(
                f"The truth cannot be written to {folder}.", str(error), "name a new folder that this user may write."
            ) from error
        self._encode = msgspec.json.Encoder().encode_into
        self._lines = bytearray(msgspec.json.encode(header) + b"\n")
        self._sent: dict[str, array[int]] = {}
        self.changes = 0

    def history(self, change: Change) -> int:
        """Record a change. Return its ordinal."""
        lines = self._lines
        self._encode(change, lines, -1)
        lines.append(NEWLINE)
        if len(lines) >= FLUSH_BYTES:
            self._flush_history()
        self.changes += 1
        return self.changes - 1

    def sent(self, connection: str, ordinal: int, what: str = "whole") -> None:
        """Record that a connection was sent the frame of a change."""
        words = self._words(connection)
        words.append(ordinal << VALUE_SHIFT | SENT_AS[what])

    def snapshot(self, connection: str, market: int, clock: int, what: str = "whole") -> None:
        """Record that a connection was sent a snapshot."""
        words = self._words(connection)
        words.append(market << VALUE_SHIFT | SNAPSHOT_BIT | SENT_AS[what])
        words.append(clock)

    def flush(self) -> None:
        self._flush_history()
        waiting, self._sent = self._sent, {}
        for connection, words in waiting.items():
            self._write_block(connection, words)

    def close(self) -> None:
        self.flush()
        self._file.close()

    def _words(self, connection: str) -> "array[int]":
        words = self._sent.get(connection)
        if words is None:
            words = self._sent[connection] = array("Q")
        elif len(words) >= FLUSH_WORDS:
            self._write_block(connection, words)
            del words[:]
        return words

    def _flush_history(self) -> None:
        _write_whole(self._file, self._lines)
        self._lines.clear()

    def _write_block(self, connection: str, words: "array[int]") -> None:
        packed = zlib.compress(words, level=1)
        # Opened for each block: connections are opened and closed, and their number has no bound.
        with sent_file(self._sent_folder, connection).open("ab", buffering=0) as file:
            _write_whole(file, BLOCK_HEAD.pack(len(packed), zlib.crc32(packed)) + packed)


def _write_whole(file: RawIOBase, data: bytes | bytearray) -> None:
    """Write all bytes, repeating partial writes. Raise the error of a full disk."""
    with memoryview(data) as rest:
        written = 0
        while written < len(rest):
            written += file.write(rest[written:]) or 0


PIECE_BYTES = 1_000_000


class TruthReader:
    """Reader of what Truth wrote, even if the run was killed: an unfinished line or block is the end."""

    def __init__(self, folder: Path) -> None:
        self._history = folder / HISTORY
        self._sent = folder / SENT
        self.header = self._read_header()

    def count(self) -> int:
        """Return the number of changes, without decoding them."""
        with self._history.open("rb") as file:
            return sum(piece.count(b"\n") for piece in iter(partial(file.read, PIECE_BYTES), b"")) - 1

    def changes(self) -> Iterator[Change]:
        """Yield the changes in the order of their ordinals."""
        decode = msgspec.json.Decoder().decode
        with self._history.open("rb") as lines:
            next(lines)
            for line in lines:
                if not line.endswith(b"\n"):
                    return
                fields = decode(line)
                yield CHANGE_TYPES[len(fields)](*fields)

    def connections(self) -> list[str]:
        return sorted(unquote(file.stem) for file in self._sent.glob("*.bin"))

    def sent(self, connection: str) -> Iterator["array[int]"]:
        """Yield the words of a connection, block by block."""
        with sent_file(self._sent, connection).open("rb") as file:
            while len(head := file.read(BLOCK_HEAD.size)) == BLOCK_HEAD.size:
                length, checksum = BLOCK_HEAD.unpack(head)
                packed = file.read(length)
                if len(packed) < length:
                    return
                if zlib.crc32(packed) != checksum:
                    raise OperatorError(f"The truth of connection {connection} is damaged.", fix="repeat the run.")
                words = array("Q")
                words.frombytes(zlib.decompress(packed))
                yield words

    def _read_header(self) -> Header:
        try:
            with self._history.open("rb") as lines:
                header = msgspec.json.decode(lines.readline(), type=Header)
        except (OSError, msgspec.DecodeError) as error:
            raise OperatorError(f"{self._history} is no history of the simulator.", str(error)) from error
        if header.version != VERSION:
            raise OperatorError(f"{self._history} has format {header.version}, and this version reads {VERSION}.")
        return header
