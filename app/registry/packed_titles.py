"""Titles of a million markets in a few dozen bytes each."""

import zlib

import msgspec

TITLES_PER_BLOCK = 64
FASTEST = 1

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[str]).decode


class PackedTitles:
    """Titles by their market's slot, compressed together with their neighbours'.

    Titles of markets that were listed one after the other say nearly the same, and a compressor that is begun for each
    of them alone takes most of its time for its beginning. A walk fills slot after slot: the block that is written to
    stays open, so that each is packed once. The block that was read last stays unpacked too.
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
