import zlib
from array import array
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import msgspec

from app.errors import OperatorError
from app.simulator.changes import Change
from app.simulator.truth.format import BLOCK_HEAD, CHANGE_TYPES, HISTORY, SENT, VERSION, Header, sent_file

PIECE_BYTES = 1_000_000


class TruthReader:
    """Reads what Truth wrote, of a run that has ended in whatever way: an unfinished line or block is the end."""

    def __init__(self, folder: Path) -> None:
        self._history = folder / HISTORY
        self._sent = folder / SENT
        self.header = self._read_header()

    def count(self) -> int:
        """How many changes there are, much sooner than by reading them."""
        with self._history.open("rb") as file:
            return sum(piece.count(b"\n") for piece in iter(partial(file.read, PIECE_BYTES), b"")) - 1

    def changes(self) -> Iterator[Change]:
        """In the order of their ordinals."""
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
        """Its words, block after block."""
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
