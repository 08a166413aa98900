"""Frames through a stream, and the rows it makes of them by their columns' names."""

from app.normalize.stream import TABLES, Stream
from tests.normalize.frames import RECEIVED_US


def stream(conn=9):
    gaps = []
    made = Stream(conn, gaps.append)
    made.gaps = gaps
    return made


def read(frame, received_us=RECEIVED_US, through=None):
    """The row of a frame, or None and why in an assertion's words."""
    message, row = (through or stream()).read(frame, received_us)
    assert row is not None, message
    return dict(zip(TABLES[type(message)].column_names, row, strict=True))


def refused(frame, through=None):
    """The reason why a frame goes to quarantine."""
    message, row = (through or stream()).read(frame, RECEIVED_US)
    assert row is None
    assert message.frame == frame
    return message.reason
