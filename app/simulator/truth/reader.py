import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path

import msgspec

from app.errors import OperatorError
from app.simulator.changes import Change
from app.simulator.truth.format import BLOCK_HEAD, CHANGE_TYPES, HISTORY, SENT, VERSION, Header


class TruthReader:
    """Reads what Truth wrote, of a run that has ended in whatever way: an unfinished line or block is the end."""

    def __init__(self, folder: Path) -> None:
        self._history = folder / HISTORY
        self._sent = folder / SENT
        self.header = self._read_header()

    @property
    def size_bytes(self) -> int:
        return self._history.stat().st_size

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
        return sorted(file.stem for file in self._sent.glob("*.bin"))

    def sent(self, connection: str) -> Iterator["array[int]"]:
        """Its words, block after block."""
        with (self._sent / f"{connection}.bin").open("rb") as file:
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
