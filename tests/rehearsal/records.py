"""What sockets said, from frames."""

from app.rehearsal.socket_record import SocketRecord
from tests.normalize.frames import RECEIVED_US, TICKER


def recorded(*frames, conn=0, wanted=(TICKER,)):
    record = SocketRecord(conn, wanted)
    for place, each in enumerate(frames):
        record.take(each, RECEIVED_US + place)
    return record


def heard(*frames):
    return recorded(*frames).heard


def evidence_of(verdict):
    return verdict.answer.value, verdict.evidence
