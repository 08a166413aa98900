"""Frames through a stream, and the rows it makes of them by their columns' names."""

from app.normalize.stream import TABLES, Stream
from tests.normalize.frames import RECEIVED_US


class Reader:
    """A stream whose every gap counts, and what it found of them."""

    def __init__(self, conn=9, **options):
        self.stream = Stream(conn, **options)
        self.gaps = []

    def read(self, frame, received_us):
        message, row, gap = self.stream.read(frame, received_us)
        if gap is None:
            return message, row
        assert row is None
        self.gaps.append(gap)
        self.stream.begin_gap(gap.sid)
        return self.stream.row(frame, message, received_us)


def read(frame, received_us=RECEIVED_US, through=None):
    """The row of a frame, or None and why in an assertion's words."""
    message, row = (through or Reader()).read(frame, received_us)
    assert row is not None, message
    return dict(zip(TABLES[type(message)].column_names, row, strict=True))


def refused(frame, through=None):
    """The reason why a frame goes to quarantine."""
    message, row = (through or Reader()).read(frame, RECEIVED_US)
    assert row is None
    assert message.frame == frame
    return message.reason
