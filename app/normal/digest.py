"""64 bits of a content, equal on every host and every version of Python."""

import struct
from collections.abc import Sequence
from hashlib import blake2b

# No value of ours is that low.
ABSENT = -(2**63)


def digest64(content: bytes) -> int:
    """Signed, as a BIGINT is."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little", signed=True)


def digest_of_integers(values: Sequence[int | None]) -> int:
    if None in values:
        values = [ABSENT if value is None else value for value in values]
    return digest64(struct.pack(f"<{len(values)}q", *values))
