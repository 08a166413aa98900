import zlib
from array import array
from io import RawIOBase
from pathlib import Path

import msgspec

from app.errors import OperatorError
from app.simulator.changes import Change
from app.simulator.truth.format import BLOCK_HEAD, HISTORY, SENT, SNAPSHOT_BIT, VALUE_SHIFT, WHATS, Header, sent_file

NEWLINE = ord("\n")
FLUSH_BYTES = 1_000_000
FLUSH_WORDS = 100_000


class Truth:
    """Writes down what happened and what was sent. Whoever uses it calls flush() once a second: more is never lost."""

    def __init__(self, folder: Path, header: Header) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / HISTORY).exists():
            raise OperatorError(
                f"{folder} already holds the truth of another run.", fix="name a new folder, or remove that one."
            )
        self._sent_folder = folder / SENT
        self._sent_folder.mkdir()
        self._file = (folder / HISTORY).open("ab", buffering=0)
        self._encode = msgspec.json.Encoder().encode_into
        self._lines = bytearray(msgspec.json.encode(header) + b"\n")
        self._sent: dict[str, array[int]] = {}
        self.changes = 0

    def history(self, change: Change) -> int:
        """The change's ordinal."""
        lines = self._lines
        self._encode(change, lines, -1)
        lines.append(NEWLINE)
        if len(lines) >= FLUSH_BYTES:
            self._flush_history()
        self.changes += 1
        return self.changes - 1

    def sent(self, connection: str, ordinal: int, what: str = "whole") -> None:
        words = self._words(connection)
        words.append(ordinal << VALUE_SHIFT | WHATS[what])

    def snapshot(self, connection: str, market: int, clock: int, what: str = "whole") -> None:
        words = self._words(connection)
        words.append(market << VALUE_SHIFT | SNAPSHOT_BIT | WHATS[what])
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
        # Opened for each block: connections come and go, and their number has no bound.
        with sent_file(self._sent_folder, connection).open("ab", buffering=0) as file:
            _write_whole(file, BLOCK_HEAD.pack(len(packed), zlib.crc32(packed)) + packed)


def _write_whole(file: RawIOBase, data: bytes | bytearray) -> None:
    """One write takes what the disk has room for; the rest is written again, or the error of a full disk is raised."""
    with memoryview(data) as rest:
        written = 0
        while written < len(rest):
            written += file.write(rest[written:]) or 0
