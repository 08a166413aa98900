"""The bytes of frames as a server writes them, right and wrong."""

from app.kalshi.frames import FINAL, MASKED, TEXT


def server_frame(payload=b"", opcode=TEXT, final=True, reserved=0, masked=False, length_bytes=None):
    """length_bytes: 1, 2 or 8; by default as few as will do."""
    size = len(payload)
    length_bytes = length_bytes or (1 if size < 126 else 2 if size < 1 << 16 else 8)
    short = {1: size, 2: 126, 8: 127}[length_bytes]
    long = b"" if length_bytes == 1 else size.to_bytes(length_bytes)
    first = (FINAL if final else 0) | reserved << 4 | opcode
    # A key of zeros leaves the payload as it is.
    return bytes([first, short | (MASKED if masked else 0)]) + long + (bytes(4) if masked else b"") + payload


def close_frame(code, reason=b""):
    return server_frame(code.to_bytes(2) + reason, opcode=0x8)
