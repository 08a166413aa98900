"""What a file of spooled rows looks like: a header, then records, each of which proves itself.

    header: MAGIC  length  crc  msgpack of [table, columns]
    record: MARK   length  crc  rows

Numbers are 32 bits, big-endian. A record's crc also covers its length, the file's number and the layout of its rows:
bytes that lie there for any other reason, such as those of a file that was here before, are not taken for a record.
"""

import struct
import zlib
from typing import NamedTuple

import msgspec

MAGIC = b"KDSPOOL1"
MARK = b"\xf5REC"
NUMBERS = struct.Struct("!II")
HEADER_BYTES = len(MAGIC) + NUMBERS.size
HEAD_BYTES = len(MARK) + NUMBERS.size


class Layout(NamedTuple):
    table: str
    columns: tuple[str, ...]


def header(layout: Layout) -> bytes:
    content = msgspec.msgpack.encode(layout)
    return MAGIC + NUMBERS.pack(len(content), zlib.crc32(content)) + content


def header_at_start(content: bytes) -> tuple[Layout, int] | None:
    """The layout and where the records begin. None: it cannot be read."""
    if not content.startswith(MAGIC) or len(content) < HEADER_BYTES:
        return None
    length, crc = NUMBERS.unpack_from(content, len(MAGIC))
    packed = content[HEADER_BYTES : HEADER_BYTES + length]
    if len(packed) != length or zlib.crc32(packed) != crc:
        return None
    return msgspec.msgpack.decode(packed, type=Layout), HEADER_BYTES + length


def seed(number: int, layout: Layout) -> int:
    """What the crc of a file's records starts from."""
    return zlib.crc32(msgspec.msgpack.encode((number, layout)))


def record(rows: bytes, seed: int) -> bytes:
    return MARK + NUMBERS.pack(len(rows), _crc(rows, seed)) + rows


def length_of_rows(head: bytes) -> int | None:
    """What a record's head says. None: it is no head."""
    if len(head) < HEAD_BYTES or not head.startswith(MARK):
        return None
    length: int = NUMBERS.unpack_from(head, len(MARK))[0]
    return length


def is_sound(head: bytes, rows: bytes, seed: int) -> bool:
    return bool(NUMBERS.unpack_from(head, len(MARK)) == (len(rows), _crc(rows, seed)))


def next_record(content: bytes, start: int, seed: int) -> int | None:
    """Where the first sound record at or after the start lies."""
    position = content.find(MARK, start)
    while position >= 0:
        head = content[position : position + HEAD_BYTES]
        length = length_of_rows(head)
        if length is not None and length <= len(content) - position - HEAD_BYTES:
            first = position + HEAD_BYTES
            if is_sound(head, content[first : first + length], seed):
                return position
        position = content.find(MARK, position + 1)
    return None


def is_record_but_for_its_head(content: bytes, seed: int) -> bool:
    """Whether the rows are proven by the head's crc, whatever became of its mark and its length."""
    if len(content) < HEAD_BYTES:
        return False
    crc: int = NUMBERS.unpack_from(content, len(MARK))[1]
    return crc == _crc(content[HEAD_BYTES:], seed)


def _crc(rows: bytes, seed: int) -> int:
    return zlib.crc32(rows, zlib.crc32(NUMBERS.pack(len(rows), 0), seed))
